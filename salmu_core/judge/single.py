"""One run, or one model, by itself: read whole, and refused where nothing can be said of it. Needs no torch.

A run is read beside its reference models, as one line of a table; a model, a run's or a reference's, with its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salmu_core.errors import StoreError, UsageError
from salmu_core.judge.compare import compare
from salmu_core.judge.figures import Figures, read_figures
from salmu_core.judge.lines import Comparison, Line
from salmu_core.judge.results import Results, read_results
from salmu_core.judge.statistics import Floats
from salmu_core.judge.targets import Column
from salmu_core.store.folders import METRICS, REFERENCES, RUN, Store, check_files, read_record, read_run
from salmu_core.store.records import INVALID, MetricsRecord, RunRecord
from salmu_core.store.schema import ROWS

#: Where a run lies, for sentences.
_PLACE = "runs/BENCHMARK/METHOD/CONFIG/b5-s0"


@dataclass(frozen=True)
class OneRun:
    """A valid run.

    Attributes:
        world: The benchmark's name in paths.
        store: The results folder it lies in.
        record: Its record; its checkpoint has just been held against it.
        comparison: A table of this run alone, beside both reference models.
    """

    folder: Path
    world: str
    store: Store
    record: RunRecord
    comparison: Comparison

    @property
    def columns(self) -> Sequence[Column]:
        """The figures with their targets."""
        return self.comparison.columns

    @property
    def results(self) -> Results:
        """This run alone, and the reference models."""
        return self.comparison.results

    @property
    def line(self) -> Line:
        """The run's line of the table."""
        return self.comparison.lines[0]


@dataclass(frozen=True)
class RowValues:
    """A value of each row of a split.

    Attributes:
        file_names: Of the images ``[n]``.
        people: Whom each shows, or None ``[n]``.
        values: ``[n]``.
    """

    file_names: tuple[str, ...]
    people: tuple[str | None, ...]
    values: Floats

    @property
    def by_name(self) -> dict[str, float]:
        """File name -> value."""
        return dict(zip(self.file_names, self.values.tolist(), strict=True))


@dataclass(frozen=True)
class ScoredModel:
    """A run's checkpoint, or a reference model.

    Attributes:
        folder: As it was given.
        record: Of the run; None for a reference model.
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
        run = f"{self.record.method}, budget {self.record.budget:g}, seed {self.record.seed}"
        return ", ".join(filter(None, [run, self.record.request.label]))

    @property
    def references(self) -> Path:
        """Where the reference models of its benchmark lie."""
        above = ".." if self.record is None else f"../../../{REFERENCES}"
        return (self.folder.resolve() / above).resolve()

    def rows(self, column: str, metric: str) -> RowValues | None:
        """The rows of a column, if there are any."""
        import pyarrow.parquet as pq

        if not self.metrics.rows_hash:
            return None
        columns, wanted = ["file_name", "identity_id", "value"], [("metric", "=", metric), ("column", "=", column)]
        table = pq.read_table(self.folder / ROWS, columns=columns, filters=wanted)
        names, people, values = (table[name] for name in columns)
        return RowValues(tuple(names.to_pylist()), tuple(people.to_pylist()), values.to_numpy()) if len(table) else None

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


def read_one_run(folder: Path, aim: str) -> OneRun:
    """Read a run and its reference models, and refuse one that is no result.

    Args:
        aim: What is to be done with it, for the refusal: ``published``.

    Raises:
        UsageError: The folder is no run's, or the run is invalid, of other data than its references, or not scored.
        StoreError: It is damaged.
    """
    folder = folder.expanduser().resolve()
    if not (folder / RUN).is_file():
        raise UsageError(f"{folder} is no run folder: it has no {RUN}. They are {_PLACE}.")
    if len(folder.parents) < 4:
        raise UsageError(f"{folder} does not lie where runs do: {_PLACE}.")
    world, store = folder.parents[2].name, Store(folder.parents[3])
    results = read_results(store, [world], only=folder)
    row = results.rows[-1]
    if row.part is not None:
        raise UsageError(
            f"{folder} can't be {aim}: it is {row.task.request} in a sequence, and the others are not done. Give the "
            "last request's folder, whose checkpoint is about everybody."
        )
    results = replace(results, rows=[row])
    if row.status == "damaged":
        raise StoreError(f"{folder} can't be {aim}: {row.reason}")
    if row.status != "valid" or row.record is None:
        raise UsageError(f"{folder} can't be {aim}: it is {row.status}: {row.reason}.")
    if row.record.benchmark.name != world or row.record.method != row.method:
        raise UsageError(f"{folder} is not where its {RUN} says: {row.record.benchmark.name}/{row.record.method}.")
    return OneRun(folder, world, store, row.record, compare(results, results.columns))


def read_scored(folder: Path) -> ScoredModel:
    """Read a run folder, or a reference model's.

    Raises:
        UsageError: It is neither, or has no figures.
        StoreError: It is damaged.
    """
    folder = folder.expanduser()
    reference = folder.resolve().parent.name == REFERENCES and (folder / METRICS).is_file()
    if not (folder / RUN).is_file() and not reference:
        raise UsageError(
            f"{folder} is neither a run folder, {_PLACE}, nor a reference model's, "
            f"runs/BENCHMARK/{REFERENCES}/clean: it has no {RUN}."
        )
    record = read_run(folder, copied=True)
    if record and record.status != "valid":
        raise UsageError(f"{folder} has no figures: it is {record.status}: {record.reason or INVALID[record.status]}.")
    metrics = read_record(folder / METRICS, MetricsRecord)
    if metrics is None or not metrics.values or (record and not _of(metrics, record)):
        raise UsageError(f"{folder} has no metrics of its checkpoint and data: `salmu run` again computes them.")
    if metrics.rows_hash and not (folder / ROWS).is_file():
        raise UsageError(
            f"{folder} has no {ROWS}, without which nothing can be compared row by row. What was published holds none: "
            "give the run's own folder, below `runs`."
        )
    check_files(folder, metrics)
    return ScoredModel(folder, record, metrics, *read_figures(folder, metrics))


def _of(metrics: MetricsRecord, record: RunRecord) -> bool:
    """Whether metrics are a run's."""
    scored = (metrics.checkpoint_hash, metrics.data_hash)
    return scored == (record.checkpoint_hash, record.benchmark.data_hash)
