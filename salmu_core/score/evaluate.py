"""One metric of one checkpoint: its figures, or what is wrong with them, and its tables."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from salmu_core.benchmark.splits import EvaluationData
from salmu_core.contract.results import MetricResult
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import MetricError, NotMeasuredError, verdict
from salmu_core.machine import without_secrets
from salmu_core.plugins.code import code_hash
from salmu_core.plugins.zoo import Declared
from salmu_core.score.context import ScoreContext
from salmu_core.score.embeddings import Embeddings
from salmu_core.score.figures import chances, figures
from salmu_core.score.tables import Tables, retrieved_table, rows_table
from salmu_core.store.records import MetricDeclaration, MetricEntry, MetricsRecord


class Scoring(NamedTuple):
    """What came of a checkpoint's metrics."""

    record: MetricsRecord
    """With an entry for each that has a value or a verdict."""
    tables: Tables
    """Those that belong beside it."""
    failures: dict[str, str]
    """Metric -> why it has no entry: the machine failed while it was computed."""

    @property
    def failed(self) -> str:
        """The same in a sentence."""
        return "; ".join(f"metric {name} was not computed: {why}" for name, why in self.failures.items())


def compute_one(declared: Declared[MetricSpec], embedder: Embeddings) -> tuple[MetricEntry, Tables]:
    """One metric: its entry, with values or an error, and its tables.

    Raises:
        MachineError: What ended it says nothing of the metric.
    """
    entry = MetricEntry(
        declared=MetricDeclaration.of(declared.card),
        plugin=f"{declared.distribution} {declared.version}",
        code_hash=code_hash(declared.module),
    )
    try:
        spec = declared.spec
        ctx = ScoreContext(embedder, spec.reads, spec.name)
        result = spec.compute(ctx)
        ctx.check_settings()
        measured, tables = _measured(spec, result, embedder.data)
    except NotMeasuredError as error:
        measured, tables = {"not_measured": str(error)}, Tables.joined([])
    except BaseException as error:  # SystemExit too: a plugin must not end the evaluation of the others
        measured, tables = {"error": without_secrets(verdict(error, declared.module))}, Tables.joined([])
    return entry.model_copy(update=measured), tables


def _measured(spec: MetricSpec, result: object, data: EvaluationData) -> tuple[dict[str, Any], Tables]:
    """Fields of a metric's entry, and its tables."""
    if not isinstance(result, MetricResult):
        raise MetricError(f"metric {spec.name} returned {type(result).__name__}; it must return a MetricResult")
    tables = Tables(rows_table(spec, result, data), retrieved_table(spec, result, data))
    details = dict(result.details)
    json.dumps(details, allow_nan=False)  # or the record could not be written
    ranks = result.ranks
    measured = {
        "values": figures(spec, result),
        "chance": chances(spec, result),
        "gallery": ranks.gallery if ranks else None,
        "gallery_like": ranks.like[1] if ranks and ranks.like else None,
        "details": details,
    }
    return measured, tables
