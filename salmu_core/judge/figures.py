"""The figures of one model from its records: rows gathered by person, and what their means hide. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from salmu_core.disk.cache import recall, remember
from salmu_core.disk.hashing import hash_text
from salmu_core.disk.space import FIGURES
from salmu_core.errors import StoreError
from salmu_core.judge.packed import pack, unpack
from salmu_core.judge.statistics import Clusters, Floats
from salmu_core.judge.tails import tails
from salmu_core.judge.targets import columns, having, leading
from salmu_core.plugins.code import code_hash
from salmu_core.store.folders import METRICS, RANK
from salmu_core.store.records import MetricsRecord
from salmu_core.store.schema import ROWS

if TYPE_CHECKING:
    import pyarrow as pa

#: How far a mean may lie from another that was taken in another order.
ROUNDING = 1e-9
#: Figure -> its rows, gathered by person.
Figures = Mapping[str, Clusters]


def read_figures(folder: Path, record: MetricsRecord) -> tuple[dict[str, Clusters], dict[str, float]]:
    """The rows behind a record's figures, gathered by person, and their tails; gathered once, and then kept.

    Args:
        record: Whose hash of the rows has been checked.

    Raises:
        StoreError: A figure is not the mean of its rows.
    """
    if not record.rows_hash:
        return figures_of(record, None)
    key = [hash_text(record.model_dump_json()), code_hash("salmu_core"), np.__version__]
    if (packed := recall(FIGURES, key)) is None:
        figures, tail_values = figures_of(record, _table(folder))
        for column, value in record.values.items():
            if not math.isclose(figures[column].mean, value, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise StoreError(
                    f"{folder / METRICS} says that {column} is {value:g}, and its rows in {ROWS} that it is "
                    f"{figures[column].mean:g}: delete {folder / METRICS} and run again"
                )
        packed = pack(figures, tail_values)
        remember(FIGURES, key, packed, quietly=True)
    return unpack(packed)


def _table(folder: Path) -> pa.Table:
    import pyarrow.parquet as pq

    # Half of what `read_table` costs, which looks for a data set first; and a file alone is nothing for threads.
    with pq.ParquetFile(folder / ROWS, read_dictionary=["identity_id"]) as file:
        return file.read(columns=["metric", "column", "identity_id", "value"], use_threads=False)


def figures_of(record: MetricsRecord, table: pa.Table | None) -> tuple[dict[str, Clusters], dict[str, float]]:
    """As `read_figures`, of a table that is not written: a figure without rows is its value alone."""
    figures = {column: Clusters.alone(value) for column, value in record.values.items()}
    if table is None:
        return figures, {}
    known = columns([record.metrics])
    ranked = next((c.metric for c in having(known, "leak") if c.ranked), "")
    first, cosines = None, dict[str, Floats]()
    for metric, column, values, people in _parts(table):
        if column in figures:
            figures[column] = Clusters.of(values, people)
        elif (metric, column) == (ranked, RANK):
            first = Clusters.of((values == 1).astype(float), people)
        if split := next((c.split for c in having(known, "association") if c.name == column), ""):
            cosines.setdefault(split, values)
    return figures, tails(figures.get(leading(known, "leak")), first, cosines)


def _parts(table: pa.Table) -> Iterator[tuple[str, str, Floats, tuple[str | None, ...]]]:
    """Metric, column, and the value and the person of each row of both, in the order of the first of them."""
    metrics, names, people = (_encoded(table, name) for name in ("metric", "column", "identity_id"))
    pair = metrics[0].astype(np.int64) * len(names[1]) + names[0]
    values = table["value"].to_numpy()
    numbers, first = np.unique(pair, return_index=True)
    for number in numbers[np.argsort(first)].tolist():
        metric, column = divmod(number, len(names[1]))
        rows = np.flatnonzero(pair == number)
        who = _people(people[0][rows].tobytes(), people[1])
        yield str(metrics[1][metric]), str(names[1][column]), values[rows], who


def _encoded(table: pa.Table, name: str) -> tuple[NDArray[np.int32], tuple[str | None, ...]]:
    """A column of texts as the number of each row's text, and the texts; the last of these is for no text."""
    column = table[name].combine_chunks().dictionary_encode()
    return column.indices.fill_null(-1).to_numpy().astype(np.int32), (*column.dictionary.to_pylist(), None)


@lru_cache(maxsize=128)  # all runs on a benchmark have the same rows
def _people(numbers: bytes, texts: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return tuple(texts[number] for number in np.frombuffer(numbers, np.int32).tolist())
