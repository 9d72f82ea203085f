"""What one model knows of each association: its cosine, its rank, and the captions retrieved. Needs no torch."""

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
    """A caption that a model retrieves for an image."""

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
        searched: Whether there is a list of the captions retrieved.
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
    check_tables(folder, record, hashed)
    cosines = {split: (metric, metric) for split, metric in COSINES.items()}
    ranks = {split: (metric, RANK) for split, metric in SEARCHES.items()}
    among_private = SEARCHES[FORGET], PRIVATE
    wanted = [*cosines.values(), *ranks.values(), among_private]
    rows = _read_columns(folder, wanted) if record.rows_hash else {}
    sizes = {split: _detail(record, metric, "gallery") for split, metric in SEARCHES.items()}
    private, private_size = rows.get(among_private), _detail(record, SEARCHES[FORGET], "gallery_private")
    return Associations(
        cosines={split: rows[column] for split, column in cosines.items() if column in rows},
        ranks={split: rows[column] for split, column in ranks.items() if column in rows},
        galleries={split: size for split, size in sizes.items() if size is not None},
        private=(private, private_size) if private is not None and private_size else None,
        folder=folder,
        searched=bool(record.retrieved_hash),
    )


def _read_columns(folder: Path, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], RowValues]:
    """Metric and column -> its rows, of those columns that have any."""
    import pyarrow.parquet as pq

    fields = ["metric", "column", "file_name", "identity_id", "value"]
    filters = [("metric", "in", sorted({metric for metric, _ in wanted}))]
    table = pq.read_table(folder / ROWS, columns=fields, filters=filters)
    metric_codes, column_codes = (table[name].combine_chunks().dictionary_encode() for name in ("metric", "column"))
    metrics, columns = metric_codes.dictionary.to_pylist(), column_codes.dictionary.to_pylist()
    pair = metric_codes.indices.to_numpy() * (1 + len(columns)) + column_codes.indices.to_numpy()
    values = {}
    for metric, column in wanted:
        if metric in metrics and column in columns:
            rows = table.filter(pair == metrics.index(metric) * (1 + len(columns)) + columns.index(column))
            if len(rows):
                names, people = (tuple(rows[name].to_pylist()) for name in ("file_name", "identity_id"))
                values[metric, column] = RowValues(names, people, rows["value"].to_numpy())
    return values


def _detail(record: MetricsRecord, metric: str, name: str) -> int | None:
    """A number among what a metric tells of itself."""
    entry = record.metrics.get(metric)
    return int(entry.details[name]) if entry is not None and name in entry.details else None
