"""One run by itself, beside both reference models: read, checked and judged. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from salmu_core.errors import StoreError, UsageError
from salmu_core.judge.columns import Column, columns
from salmu_core.judge.compare import compare
from salmu_core.judge.lines import Comparison, Line
from salmu_core.judge.results import Results, read_results
from salmu_core.plugins import Zoo
from salmu_core.store.folders import RUN, Store
from salmu_core.store.records import RunRecord


class _Only(Store):
    """A results folder of which only one run is looked at: the others' checkpoints need not be read."""

    def __init__(self, root: Path, only: Path) -> None:
        super().__init__(root)
        self._only = only

    def runs(self, benchmark: str) -> Iterator[Path]:
        """The one run."""
        yield self._only


@dataclass(frozen=True)
class OneRun:
    """A valid run.

    Attributes:
        folder: Where it lies.
        world: The benchmark's name in paths.
        store: The results folder it lies in.
        record: Its record; its checkpoint has just been held against it.
        comparison: A table of this run alone, beside both reference models.
        shown: The figures with their targets.
    """

    folder: Path
    world: str
    store: Store
    record: RunRecord
    comparison: Comparison
    shown: tuple[Column, ...]

    @property
    def results(self) -> Results:
        """This run alone, and the reference models."""
        return self.comparison.results

    @property
    def line(self) -> Line:
        """The run's line of the table."""
        return self.comparison.lines[0]


def read_one_run(folder: Path, zoo: Zoo, aim: str) -> OneRun:
    """Read a run and its reference models, and refuse one that is no result.

    Args:
        folder: The run's.
        zoo: What is installed.
        aim: What is to be done with it, for the refusal: ``published``.

    Raises:
        UsageError: The folder is no run's, or the run is invalid, of other data than its references, or not scored.
        StoreError: It is damaged.
    """
    folder = folder.expanduser().resolve()
    if not (folder / RUN).is_file():
        raise UsageError(f"{folder} is no run folder: it has no {RUN}. They are runs/BENCHMARK/METHOD/CONFIG/b5-s0.")
    if len(folder.parents) < 4:
        raise UsageError(f"{folder} does not lie where runs do: runs/BENCHMARK/METHOD/CONFIG/b5-s0.")
    world, store = folder.parents[2].name, _Only(folder.parents[3], folder)
    found = read_results(store, [world])
    (row,) = found.rows
    if row.status == "damaged":
        raise StoreError(f"{folder} can't be {aim}: {row.reason}")
    if row.status != "valid" or row.record is None:
        raise UsageError(f"{folder} can't be {aim}: it is {row.status}: {row.reason}.")
    if row.record.benchmark.name != world or row.record.method != row.method:
        raise UsageError(f"{folder} is not where its {RUN} says: {row.record.benchmark.name}/{row.record.method}.")
    shown = tuple(columns(zoo.metrics))
    return OneRun(folder, world, store, row.record, compare(found, shown), shown)
