"""What one model knows of each association: its cosine, its rank, and the captions found. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from salmu_core.contract.layout import FORGET
from salmu_core.judge.protocol import COSINES, PRIVATE, RANK, SEARCHES
from salmu_core.judge.statistics import Floats
from salmu_core.store.folders import RETRIEVED, ROWS, check_tables
from salmu_core.store.hashing import hash_file
from salmu_core.store.records import MetricsRecord


class RetrievedCaption(NamedTuple):
    """A caption a model found for an image."""

    caption: str
    cosine: float


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
class Associations:
    """One model's rows.

    Attributes:
        cosines: Split -> cosine of each image with its own caption.
        ranks: Split -> where that caption stands among those of the gallery, from 1.
        galleries: Split -> number of captions it is looked for among, itself included.
        private: Where a forget caption stands among captions to be forgotten alone, and how many those are; None where
            that was not measured.
        folder: Where they lie.
        searched: Whether there is a list of the captions found.
    """

    cosines: Mapping[str, RowValues] = field(default_factory=dict)
    ranks: Mapping[str, RowValues] = field(default_factory=dict)
    galleries: Mapping[str, int] = field(default_factory=dict)
    private: tuple[RowValues, int] | None = None
    folder: Path = Path()
    searched: bool = False

    def retrieved(self, file_names: Collection[str]) -> dict[str, list[RetrievedCaption]]:
        """File name -> the captions that come first for this image, the best first."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        if not self.searched or not file_names:
            return {}
        columns = ["metric", "split", "file_name", "place", "caption", "cosine"]
        table = pq.read_table(self.folder / RETRIEVED, columns=columns, filters=pc.field("file_name").isin(file_names))
        lists: dict[str, list[RetrievedCaption]] = defaultdict(list)
        for line in table.sort_by([("file_name", "ascending"), ("place", "ascending")]).to_pylist():
            if SEARCHES.get(line["split"]) == line["metric"]:  # other metrics may look for captions, too
                lists[line["file_name"]].append(RetrievedCaption(line["caption"], line["cosine"]))
        return dict(lists)


def read_associations(folder: Path, record: MetricsRecord, hashed: Callable[[Path], str] = hash_file) -> Associations:
    """The rows beside a model's metrics; splits that no metric has rows of are left out.

    Args:
        folder: Where the model's metrics lie: a run's folder, or a reference's.
        record: The metrics.
        hashed: What hashes the tables: by default all of them is read.

    Raises:
        StoreError: The tables are not those the metrics were written with.
    """
    import pyarrow.parquet as pq

    check_tables(folder, record, hashed)
    wanted = {(metric, metric): split for split, metric in COSINES.items()}
    wanted |= {(metric, RANK): split for split, metric in SEARCHES.items()}
    wanted[SEARCHES[FORGET], PRIVATE] = FORGET
    found: dict[str, dict[str, RowValues]] = {"cosine": {}, RANK: {}, PRIVATE: {}}
    if record.rows_hash:
        columns = ["metric", "column", "file_name", "identity_id", "value"]
        filters = [("metric", "in", sorted({metric for metric, _ in wanted}))]
        table = pq.read_table(folder / ROWS, columns=columns, filters=filters)
        metric, column = (table[name].combine_chunks().dictionary_encode() for name in ("metric", "column"))
        place = metric.indices.to_numpy() * (1 + len(column.dictionary)) + column.indices.to_numpy()
        for (m, c), split in wanted.items():
            if m not in metric.dictionary.to_pylist() or c not in column.dictionary.to_pylist():
                continue
            number = (
                metric.dictionary.index(m).as_py() * (1 + len(column.dictionary)) + column.dictionary.index(c).as_py()
            )
            rows = table.filter(place == number)
            if len(rows):
                names, people = (tuple(rows[name].to_pylist()) for name in ("file_name", "identity_id"))
                found[c if c in found else "cosine"][split] = RowValues(names, people, rows["value"].to_numpy())
    told = {split: _detail(record, metric, "gallery") for split, metric in SEARCHES.items()}
    galleries = {split: size for split, size in told.items() if size is not None}
    private, size = found[PRIVATE].get(FORGET), _detail(record, SEARCHES[FORGET], "gallery_private")
    alone = (private, size) if private is not None and size else None
    return Associations(found["cosine"], found[RANK], galleries, alone, folder, bool(record.retrieved_hash))


def _detail(record: MetricsRecord, metric: str, name: str) -> int | None:
    """A number among what a metric tells of itself."""
    entry = record.metrics.get(metric)
    return int(entry.details[name]) if entry is not None and name in entry.details else None
