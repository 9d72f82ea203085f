"""The figures of one model from its records: rows gathered by person, and what their means hide. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from salmu_core.judge.statistics import Clusters, Floats
from salmu_core.judge.tails import tails
from salmu_core.judge.targets import columns, having, leading
from salmu_core.store.folders import RANK, ROWS
from salmu_core.store.records import MetricsRecord

if TYPE_CHECKING:
    import pyarrow as pa

#: Figure -> its rows, gathered by person.
Figures = Mapping[str, Clusters]


def read_figures(folder: Path, record: MetricsRecord) -> tuple[dict[str, Clusters], dict[str, float]]:
    """The rows behind a record's figures, gathered by person, and their tails."""
    import pyarrow.parquet as pq

    if not record.rows_hash:
        return figures_of(record, None)
    with pq.ParquetFile(folder / ROWS) as file:  # half of what `read_table` costs, which looks for a data set first
        return figures_of(record, file.read(columns=["metric", "column", "identity_id", "value"]))


def figures_of(record: MetricsRecord, table: pa.Table | None) -> tuple[dict[str, Clusters], dict[str, float]]:
    """As `read_figures`, of a table that is not written: a figure without rows is its value alone."""
    figures = {column: Clusters.alone(value) for column, value in record.values.items()}
    if table is None:
        return figures, {}
    known = columns([record.metrics])
    ranked = next((c.metric for c in having(known, "leak") if c.ranked), "")
    first, cosines = None, dict[str, Floats]()
    for metric, column, rows in _parts(table):
        values, people = rows["value"].to_numpy(), rows["identity_id"].to_pylist()
        if column in figures:
            figures[column] = Clusters.of(values, people)
        elif (metric, column) == (ranked, RANK):
            first = Clusters.of((values == 1).astype(float), people)
        if split := next((c.split for c in having(known, "association") if c.name == column), ""):
            cosines.setdefault(split, values)
    return figures, tails(figures.get(leading(known, "leak")), first, cosines)


def _parts(table: pa.Table) -> Iterator[tuple[str, str, pa.Table]]:
    """Metric, column and the rows of both."""
    metrics, names = (table[name].combine_chunks().dictionary_encode() for name in ("metric", "column"))
    pair = metrics.indices.to_numpy() * (1 + len(names.dictionary)) + names.indices.to_numpy()
    for number in dict.fromkeys(pair.tolist()):
        metric, column = divmod(number, 1 + len(names.dictionary))
        yield metrics.dictionary[metric].as_py(), names.dictionary[column].as_py(), table.filter(pair == number)
