"""All metrics of one checkpoint: embedded once, computed one by one, written as one record and one table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from salmu_core.benchmark.splits import EvaluationData
from salmu_core.clip.model import Clip
from salmu_core.contract.results import MetricResult, finite
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import MetricError, NotMeasuredError, SalmuError
from salmu_core.plugins import Declared
from salmu_core.score.context import ScoreContext
from salmu_core.score.embeddings import Catalogue, Embedder, Images
from salmu_core.score.tables import Tables, retrieved_table, rows_table
from salmu_core.store.code import code_hash
from salmu_core.store.records import MetricEntry, MetricsRecord, ScoredOn


def evaluate(
    clip: Clip,
    checkpoint_hash: str,
    data: EvaluationData,
    images: Images,
    metrics: Iterable[Declared[MetricSpec]],
    *,
    benchmark: str,
    scored_on: ScoredOn,
    device: torch.device | str = "cpu",
    on_batch: Callable[[int], None] | None = None,
    catalogue: Catalogue | None = None,
) -> tuple[MetricsRecord, Tables]:
    """Compute metrics; one that fails is an entry with its error.

    Args:
        clip: The checkpoint, on ``device``.
        checkpoint_hash: Goes into the record.
        data: The benchmark's rows.
        images: Its decoded images.
        metrics: What to compute.
        benchmark: The benchmark's name.
        scored_on: Goes into the record.
        device: Where to embed.
        on_batch: Told of the number of items embedded, batch by batch.
        catalogue: Its tokenised captions.

    Returns:
        The record, and the tables that belong beside it.
    """
    start = time.perf_counter()
    embedder = Embedder(clip, data, images, device, on_batch, catalogue)
    entries: dict[str, MetricEntry] = {}
    tables: list[Tables] = []
    for declared in metrics:
        entry, beside = compute_one(declared, embedder)
        entries[declared.card.name] = entry
        tables.append(beside)
    record = MetricsRecord(
        benchmark=benchmark,
        data_hash=scored_on.data_hash,
        zeroshot_hash=scored_on.zeroshot_hash,
        checkpoint_hash=checkpoint_hash,
        metrics=entries,
        images_encoded=embedder.images_encoded,
        captions_encoded=embedder.captions_encoded,
        seconds=round(time.perf_counter() - start, 3),
    )
    return record, Tables.joined(tables)


def compute_one(declared: Declared[MetricSpec], embedder: Embedder) -> tuple[MetricEntry, Tables]:
    """One metric: its entry, with values or an error, and its tables."""
    values: dict[str, float] = {}
    tables = nothing = Tables.joined([])
    details: dict[str, Any] = {}
    problem = lacking = None
    try:
        spec = declared.spec
        result = spec.compute(ScoreContext(embedder, spec.reads, spec.name))
        values = _values(spec, result)
        tables = Tables(rows_table(spec, result, values, embedder.data), retrieved_table(spec, result, embedder.data))
        details = dict(result.details)
        json.dumps(details, allow_nan=False)  # or the record could not be written
    except KeyboardInterrupt:
        raise
    except NotMeasuredError as error:
        lacking = str(error)
    except SalmuError as error:
        values, tables, details, problem = {}, nothing, {}, str(error)
    except BaseException as error:  # SystemExit too: a plugin must not end the evaluation of the others
        values, tables, details, problem = {}, nothing, {}, f"{type(error).__name__}: {error}"
    entry = MetricEntry(
        values=values,
        details=details,
        error=problem,
        not_measured=lacking,
        plugin=f"{declared.distribution} {declared.version}",
        code_hash=code_hash(declared.module),
    )
    return entry, tables


def _values(spec: MetricSpec, result: object) -> dict[str, float]:
    if not isinstance(result, MetricResult):
        raise MetricError(f"metric {spec.name} returned {type(result).__name__}; it must return a MetricResult")
    figures = result.value if isinstance(result.value, Mapping) else {"": result.value}
    if set(figures) != set(spec.figures or ("",)):
        raise MetricError(
            f"metric {spec.name} declares the figures {', '.join(spec.figures) or 'none'} and returned "
            f"{', '.join(figures) or 'none'}"
        )
    return {column: finite(figures[figure]) for column, figure in zip(spec.columns, spec.figures or ("",), strict=True)}
