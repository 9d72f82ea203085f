"""Reads a results folder into rows: references, runs, and what their figures say. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmu_core.diagnosis import Diagnosis, diagnose
from salmu_core.errors import StoreError
from salmu_core.outstanding import ROLES
from salmu_core.records import INVALID, SCHEMA, MetricsRecord, RunRecord
from salmu_core.store import METRICS, Store, read


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        folder: Where it lies.
        record: Its record; None if the folder is damaged.
        status: ``valid``, why it is not, ``damaged`` or ``not scored``.
        reason: What is wrong, in a sentence.
        metrics: Column -> value.
        errors: Metric -> why it has no value.
        diagnosis: What the figures say.
    """

    folder: Path
    method: str
    record: RunRecord | None
    status: str
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    diagnosis: Diagnosis = field(default_factory=lambda: Diagnosis(None, {}, None))

    @property
    def ranked(self) -> bool:
        """Whether it may stand in a ranking: a valid run whose failure modes could be judged."""
        return self.status == "valid" and self.diagnosis.failure_modes is not None

    def as_json(self) -> dict[str, Any]:
        """The row as ``salmu results --json`` prints it."""
        record = self.record
        return {
            "method": self.method,
            "config_hash": record.config_hash if record else None,
            "config": record.config if record else None,
            "budget": record.budget if record else None,
            "seed": record.seed if record else None,
            "status": self.status,
            "reason": self.reason,
            "metrics": dict(self.metrics),
            "metric_errors": dict(self.errors),
            "leakage_reduction": self.diagnosis.leakage_reduction,
            "holdout_retention": self.diagnosis.holdout_retention,
            "failure_mode": self.diagnosis.failure_mode,
            "ledger": record.ledger.model_dump() if record else None,
            "checkpoint": str(self.folder) if record and record.checkpoint_hash else None,
            "folder": str(self.folder),
        }


@dataclass(frozen=True)
class Results:
    """Everything a results folder holds of one benchmark.

    Attributes:
        benchmark: Its name.
        references: ``clean`` and ``compromised`` -> column -> value; empty where not scored.
        rows: Runs: ranked ones first, best first, then the others by name.
    """

    benchmark: str
    references: dict[str, dict[str, float]]
    rows: list[Row]

    @property
    def invalid(self) -> list[Row]:
        """Rows that are no valid result."""
        return [row for row in self.rows if row.status != "valid"]

    def as_json(self) -> dict[str, Any]:
        """What ``salmu results --json`` prints."""
        return {
            "schema": SCHEMA,
            "benchmark": self.benchmark,
            "references": self.references,
            "runs": [row.as_json() for row in self.rows],
        }


def read_results(store: Store, benchmark: str) -> Results:
    """Read all runs of a benchmark; damaged ones become rows that say so.

    Ranked by number of failure modes, then by leakage reduction: no single score decides.
    """
    references = {role: _reference(store, benchmark, role) for role in ROLES}
    rows = [_row(store, folder, references) for folder in store.runs(benchmark)]
    rows.sort(key=_order)
    return Results(benchmark, references, rows)


def of_plan(found: Results, planned: Mapping[Path, str]) -> Results:
    """The rows of planned runs only; one that has no row becomes one that says so.

    Args:
        found: All rows of a benchmark.
        planned: Run folder -> method.
    """
    rows = [row for row in found.rows if row.folder in planned]
    absent = planned.keys() - {row.folder for row in rows}
    reason = "another process holds its folder, or was ended while it made it: run the same command again"
    rows += [Row(folder, planned[folder], None, "unfinished", reason) for folder in sorted(absent)]
    return Results(found.benchmark, found.references, rows)


def _reference(store: Store, benchmark: str, role: str) -> dict[str, float]:
    record = read(store.reference(benchmark, role) / METRICS, MetricsRecord)
    return record.values if record else {}


def _row(store: Store, folder: Path, references: Mapping[str, Mapping[str, float]]) -> Row:
    method = folder.parts[-3]
    try:
        record = store.run(folder)
        assert record is not None  # the folder was found by this very file
        if record.status != "valid":
            return Row(folder, method, record, record.status, record.reason or INVALID[record.status])
        metrics = store.metrics(folder, record.checkpoint_hash or "")
    except StoreError as error:
        return Row(folder, method, None, "damaged", str(error))
    if metrics is None:
        return Row(folder, method, record, "not scored", "it has no metrics yet: run `salmu run` again")
    diagnosis = diagnose(metrics.values, references["clean"], references["compromised"])
    return Row(folder, method, record, "valid", "", metrics.values, metrics.errors, diagnosis)


def _order(row: Row) -> tuple[Any, ...]:
    modes = row.diagnosis.failure_modes
    config = row.record.config_hash if row.record else ""
    cost = (row.record.budget, row.record.seed) if row.record else (0.0, 0)
    if not row.ranked or modes is None:
        return (1, row.status != "valid", 0.0, row.method, config, *cost)
    return (0, len(modes), -(row.diagnosis.leakage_reduction or 0.0), row.method, config, *cost)
