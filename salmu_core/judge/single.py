"""A scored model, a run's or a reference's: its metrics, and the rows behind them. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmu_core.errors import UsageError
from salmu_core.judge.associations import Rows
from salmu_core.judge.results import Figures, read_rows
from salmu_core.store.folders import METRICS, REFERENCES, ROWS, RUN, Store, read
from salmu_core.store.records import INVALID, MetricsRecord, RunRecord


@dataclass(frozen=True)
class Scored:
    """A run's checkpoint, or a reference model.

    Attributes:
        folder: As it was given.
        record: Of the run; None for a reference model.
        metrics: Its metrics.
        figures: Column -> its rows by person.
        tails: Name -> value.
    """

    folder: Path
    record: RunRecord | None
    metrics: MetricsRecord
    figures: Figures
    tails: Mapping[str, float]

    @property
    def name(self) -> str:
        """In a few words."""
        if self.record is None:
            return self.folder.resolve().name.capitalize()
        return f"{self.record.method}, budget {self.record.budget:g}, seed {self.record.seed}"

    @property
    def references(self) -> Path:
        """Where the reference models of its benchmark lie."""
        above = ".." if self.record is None else f"../../../{REFERENCES}"
        return (self.folder.resolve() / above).resolve()

    def rows(self, column: str, metric: str) -> Rows | None:
        """The rows of a column, if there are any."""
        import pyarrow.parquet as pq

        if not self.metrics.rows_hash:
            return None
        columns, wanted = ["file_name", "identity_id", "value"], [("metric", "=", metric), ("column", "=", column)]
        table = pq.read_table(self.folder / ROWS, columns=columns, filters=wanted)
        names, people, values = (table[name] for name in columns)
        return Rows(tuple(names.to_pylist()), tuple(people.to_pylist()), values.to_numpy()) if len(table) else None

    def as_json(self) -> dict[str, Any]:
        """As ``salmu diff --json`` prints it."""
        record = self.record
        return {
            "folder": str(self.folder),
            "name": self.name,
            "method": record.method if record else None,
            "config_hash": record.config_hash if record else None,
            "budget": record.budget if record else None,
            "seed": record.seed if record else None,
            "benchmark": self.metrics.benchmark,
            "data_hash": self.metrics.data_hash,
            "zeroshot_hash": self.metrics.zeroshot_hash,
            "checkpoint_hash": self.metrics.checkpoint_hash,
        }


def read_scored(folder: Path) -> Scored:
    """Read a run folder, or a reference model's.

    Raises:
        UsageError: It is neither, or has no figures.
        StoreError: It is damaged.
    """
    folder = folder.expanduser()
    reference = folder.resolve().parent.name == REFERENCES and (folder / METRICS).is_file()
    if not (folder / RUN).is_file() and not reference:
        raise UsageError(
            f"{folder} is neither a run folder, runs/BENCHMARK/METHOD/CONFIG/b5-s0, nor a reference model's, "
            f"runs/BENCHMARK/{REFERENCES}/clean: it has no {RUN}."
        )
    store = Store(folder)
    record = store.run(folder)
    if record and record.status != "valid":
        raise UsageError(f"{folder} has no figures: it is {record.status}: {record.reason or INVALID[record.status]}.")
    metrics = read(folder / METRICS, MetricsRecord)
    if metrics is None or not metrics.values or (record and not _of(metrics, record)):
        raise UsageError(f"{folder} has no metrics of its checkpoint and data: `salmu run` again computes them.")
    if metrics.rows_hash and not (folder / ROWS).is_file():
        raise UsageError(
            f"{folder} has no {ROWS}, without which nothing can be compared row by row. What was published holds none: "
            "give the run's own folder, below `runs`."
        )
    store.check_rows(folder, metrics)
    return Scored(folder, record, metrics, *read_rows(folder, metrics))


def _of(metrics: MetricsRecord, record: RunRecord) -> bool:
    """Whether metrics are a run's."""
    scored = (metrics.checkpoint_hash, metrics.data_hash)
    return scored == (record.checkpoint_hash, record.benchmark.data_hash)
