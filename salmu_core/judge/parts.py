"""One request of a sequence in the figures of a model: the rows of the people it was about. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from salmu_core.benchmark.parts import people_in_parts
from salmu_core.contract.layout import FORGET, FORGET_SPLITS
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import StoreError
from salmu_core.judge.statistics import Clusters
from salmu_core.store.folders import METRICS
from salmu_core.store.records import MetricsRecord, RunRecord
from salmu_core.store.schema import ROWS
from salmu_core.store.starts import RequestRef

if TYPE_CHECKING:
    import pyarrow as pa


class Task(NamedTuple):
    """What the runs of one line were to do, where that is not to forget all at once, from Compromised on.

    Attributes:
        start: What they, or the first request, began with; empty for Compromised.
        requests: Requests in the sequence.
        number: The request that is looked at, on the people it was about; 0 for everybody, after the last one.
    """

    start: str = ""
    requests: int = 1
    number: int = 0

    @classmethod
    def of(cls, record: RunRecord, whole: bool) -> Task:
        """The task of a run.

        Args:
            whole: Whether everybody is looked at.
        """
        alone = whole or record.request.count == 1
        return cls(record.origin, record.request.count, 0 if alone else record.request.number)

    @property
    def request(self) -> str:
        """Which request is looked at, or that all are; empty if there is one only."""
        if self.requests == 1:
            return ""
        return f"request {self.number} of {self.requests}" if self.number else f"all {self.requests} requests"

    def label(self, name: str) -> str:
        """A line's name with the task behind it."""
        return ", ".join(filter(None, [f"{name} from {self.start}" if self.start else name, self.request]))


#: The whole forget set, from Compromised on.
AT_ONCE = Task()


@dataclass(frozen=True)
class Part:
    """Whom a request was about.

    Attributes:
        columns: Figures that look at forget rows, and are told of these people's alone.
        untold: Figures that look at forget rows and are one number alone: nobody can say which people it is about.
    """

    people: frozenset[str]
    columns: frozenset[str]
    untold: frozenset[str] = frozenset()

    def of(self, figures: Mapping[str, Clusters]) -> dict[str, Clusters]:
        """A model's figures, those of forget rows of these people only; those that can't be told are left out."""
        told = {name: rows.of_people(self.people) if name in self.columns else rows for name, rows in figures.items()}
        return {name: rows for name, rows in told.items() if rows is not None and name not in self.untold}

    def values(self, values: Mapping[str, float], figures: Mapping[str, Clusters]) -> dict[str, float]:
        """The values of figures that `of` has made."""
        return {
            name: figures[name].mean if name in self.columns else value
            for name, value in values.items()
            if name in figures
        }

    def within(self, table: pa.Table) -> pa.Table:
        """The rows of a table without other people's forget rows."""
        import pyarrow as pa

        rows = zip(table["split"].to_pylist(), table["identity_id"].to_pylist(), strict=True)
        kept = table.filter([split not in FORGET_SPLITS or person in self.people for split, person in rows])
        # As plain text: a dictionary would go on to name columns of which no row is left.
        texts = {name: kept[name].cast(pa.string()) for name in ("metric", "column", "split")}
        return pa.table({name: texts.get(name, kept[name]) for name in kept.column_names})


def read_part(folder: Path, metrics: MetricsRecord, request: RequestRef) -> tuple[Part, pa.Table]:
    """Whom a request was about, by the rows that lie beside its metrics, and those rows without other people's.

    Raises:
        StoreError: The rows are not those that the request was about.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / ROWS) as file:
        table = file.read(columns=["metric", "column", "split", "row", "file_name", "identity_id", "value"])
    splits = table["split"].to_pylist()
    rows = zip(splits, *(table[name].to_pylist() for name in ("row", "identity_id", "file_name")), strict=True)
    forget = {row: (person, file) for split, row, person, file in rows if split == FORGET}
    ordered = [forget[row] for row in sorted(forget)]
    people: frozenset[str] = frozenset()
    if len({person for person, _ in ordered}) >= request.count:
        people = people_in_parts([person for person, _ in ordered], request.count)[request.number - 1]
    if hash_json([file for person, file in ordered if person in people]) != request.rows_hash:
        raise StoreError(
            f"{folder / ROWS} has not the rows that request {request.number} of {request.count} was about: delete "
            f"{folder / METRICS} and run again, with a metric that looks at every forget row"
        )
    names = zip(table["column"].to_pylist(), splits, strict=True)
    columns = frozenset(name for name, split in names if split in FORGET_SPLITS)
    looking = [entry.declared for entry in metrics.metrics.values() if set(entry.declared.reads) & set(FORGET_SPLITS)]
    part = Part(people, columns, frozenset(name for metric in looking for name in metric.columns) - columns)
    return part, part.within(table)
