"""What one model knows of each association: its cosine, its rank, and the captions retrieved. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from salmu_core.disk.hashing import EVERY_BYTE, Hashes
from salmu_core.judge.single import RowValues
from salmu_core.judge.targets import columns, having
from salmu_core.store.folders import RANK, RANK_LIKE, check_files
from salmu_core.store.records import MetricsRecord
from salmu_core.store.schema import RETRIEVED, ROWS


class RetrievedCaption(NamedTuple):
    """A caption that a model retrieves for an image."""

    caption: str
    cosine: float


class Search(NamedTuple):
    """Where the own captions of a split's rows come, by one metric.

    Attributes:
        metric: Its name.
        ranks: Of each row, from 1.
        gallery: Number of captions that are searched, the own one included.
        like: Ranks among captions of the own one's kind alone, and how many those are; None where not measured.
    """

    metric: str
    ranks: RowValues
    gallery: int
    like: tuple[RowValues, int] | None = None


@dataclass(frozen=True)
class Associations:
    """One model's rows.

    Attributes:
        cosines: Split -> cosine of each image with its own caption.
        searches: Split -> what metrics that look for its captions say, the leading one first.
        finders: Split -> metrics that may list the captions they find for it, the leading one first.
        searched: Whether there is a list of the captions retrieved.
    """

    cosines: Mapping[str, RowValues] = field(default_factory=dict)
    searches: Mapping[str, tuple[Search, ...]] = field(default_factory=dict)
    finders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folder: Path = Path()
    searched: bool = False

    def search(self, split: str) -> Search | None:
        """The leading search of a split's captions, if there is one."""
        return next(iter(self.searches.get(split, ())), None)

    def retrieved(self, file_names: Collection[str]) -> dict[str, list[RetrievedCaption]]:
        """File name -> the captions that come first for this image, best first, by the leading metric that has any."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        if not self.searched or not file_names:
            return {}
        columns = ["metric", "split", "file_name", "place", "caption", "cosine"]
        table = pq.read_table(self.folder / RETRIEVED, columns=columns, filters=pc.field("file_name").isin(file_names))
        lists: dict[tuple[str, str], dict[str, list[RetrievedCaption]]] = defaultdict(lambda: defaultdict(list))
        for line in table.sort_by([("file_name", "ascending"), ("place", "ascending")]).to_pylist():
            found = RetrievedCaption(line["caption"], line["cosine"])
            lists[line["split"], line["metric"]][line["file_name"]].append(found)
        retrieved: dict[str, list[RetrievedCaption]] = {}
        for split, metrics in self.finders.items():
            leading = next((metric for metric in metrics if (split, metric) in lists), "")
            retrieved |= lists.get((split, leading), {})
        return retrieved


def read_associations(folder: Path, record: MetricsRecord, hashed: Hashes = EVERY_BYTE) -> Associations:
    """The rows beside a model's metrics; splits that no metric has rows of are left out.

    Args:
        folder: Where the model's metrics lie: a run's folder, or a reference's.
        record: The metrics.
        hashed: What hashes the tables: by default all of them is read.

    Raises:
        StoreError: The tables are not those the metrics were written with.
    """
    check_files(folder, record, hashed)
    measured = [column for column in columns([record.metrics]) if column.name in record.values]
    cosines = {c.split: (c.metric, c.name) for c in reversed(having(measured, "association"))}
    searching = [c for c in measured if c.role in ("leak", "holdout")]
    wanted = [*cosines.values(), *((c.metric, rank) for c in searching if c.ranked for rank in (RANK, RANK_LIKE))]
    rows = _read_columns(folder, wanted) if record.rows_hash and wanted else {}
    searches: dict[str, list[Search]] = defaultdict(list)
    finders: dict[str, list[str]] = defaultdict(list)
    for c in searching:
        finders[c.split].append(c.metric)
        if (ranks := rows.get((c.metric, RANK))) is not None:
            entry, like = record.metrics[c.metric], rows.get((c.metric, RANK_LIKE))
            assert entry.gallery is not None  # or it would not be ranked
            alone = (like, entry.gallery_like) if like is not None and entry.gallery_like else None
            searches[c.split].append(Search(c.metric, ranks, entry.gallery, alone))
    return Associations(
        cosines={split: rows[column] for split, column in cosines.items() if column in rows},
        searches={split: tuple(found) for split, found in searches.items()},
        finders=finders,
        folder=folder,
        searched=RETRIEVED in record.files,
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
