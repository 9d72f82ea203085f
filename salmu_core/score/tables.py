"""The tables beside a checkpoint's metrics: a value for each row, and what was retrieved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from salmu_core.benchmark.splits import EvaluationData
from salmu_core.contract.results import MetricResult, Ranks
from salmu_core.contract.specs import MetricSpec
from salmu_core.disk.files import replacing
from salmu_core.disk.record import FileSeal
from salmu_core.errors import MetricError
from salmu_core.score.figures import Rows, rows
from salmu_core.store.folders import METRICS, RANK, RANK_LIKE
from salmu_core.store.records import MetricsRecord
from salmu_core.store.schema import RETRIEVED, ROWS

_ROWS_SCHEMA = pa.schema(
    [
        ("metric", pa.dictionary(pa.int32(), pa.string())),
        ("column", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int32()),
        ("file_name", pa.string()),
        ("identity_id", pa.string()),
        ("value", pa.float64()),
    ]
)


_RETRIEVED_SCHEMA = pa.schema(
    [
        ("metric", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("file_name", pa.string()),
        ("place", pa.int32()),
        ("caption", pa.dictionary(pa.int32(), pa.string())),
        ("cosine", pa.float64()),
    ]
)


class Tables(NamedTuple):
    """What lies behind the figures."""

    rows: pa.Table
    """One line for each metric column and row."""
    retrieved: pa.Table
    """One line for each image and place, of metrics that retrieve."""

    @classmethod
    def joined(cls, parts: Iterable[Tables]) -> Tables:
        """The tables of several metrics as one."""
        rows, retrieved = zip(cls(_ROWS_SCHEMA.empty_table(), _RETRIEVED_SCHEMA.empty_table()), *parts, strict=True)
        return cls(pa.concat_tables(rows), pa.concat_tables(retrieved))


def write_metrics(folder: Path, record: MetricsRecord, tables: Tables) -> None:
    """Write the tables and ``metrics.json``, which seals them and takes its place last."""
    with (
        replacing(folder / METRICS) as whole,
        replacing(folder / ROWS) as rows,
        replacing(folder / RETRIEVED) as retrieved,
    ):
        for path, table in ((rows, tables.rows), (retrieved, tables.retrieved)):
            pq.write_table(table.unify_dictionaries(), path)
        files = {ROWS: FileSeal.of(rows), RETRIEVED: FileSeal.of(retrieved)}
        whole.write_text(record.model_copy(update={"files": files}).as_text(), encoding="utf-8")


def rows_table(spec: MetricSpec, result: MetricResult, data: EvaluationData) -> pa.Table:
    """The rows of a metric's figures, and its ranks."""
    tables = [_ROWS_SCHEMA.empty_table()]
    if result.per_row is not None:
        split, index = result.per_row.split, result.per_row.index
        tables.append(_rows(spec, split, rows(spec, result), data, index))
    if result.ranks is not None:
        tables.append(_rows(spec, result.ranks.split, _ranks(spec, result.ranks), data))
    return pa.concat_tables(tables)


def _ranks(spec: MetricSpec, ranks: Ranks) -> dict[str, NDArray[np.float64]]:
    searches = {RANK: (ranks.values, ranks.gallery)} | ({RANK_LIKE: ranks.like} if ranks.like else {})
    for column, (values, gallery) in searches.items():
        if len(values) and not 1 <= np.min(values) <= np.max(values) <= gallery:
            raise MetricError(f"metric {spec.name} returned a {column} outside 1 to {gallery}, its gallery")
    return {column: np.asarray(values, dtype=np.float64) for column, (values, _) in searches.items()}


def _rows(
    spec: MetricSpec, split: str, columns: Rows, data: EvaluationData, index: NDArray[np.integer] | None = None
) -> pa.Table:
    _declared(spec, split, "rows")
    names, people = data.names(split)
    index = np.arange(len(names)) if index is None else np.asarray(index)
    if len(np.unique(index)) != len(index) or not ((index >= 0) & (index < len(names))).all():
        raise MetricError(f"metric {spec.name} returned row numbers that repeat or lie outside {split}")
    n, tables = len(index), [_ROWS_SCHEMA.empty_table()]
    for column, values in columns.items():
        if values.shape != (n,):
            raise MetricError(
                f"metric {spec.name} returned {list(values.shape)} values of {column} for {n} rows of {split}"
            )
        if not np.isfinite(values).all():
            raise MetricError(f"metric {spec.name} returned rows of {column} that are NaN or infinite")
        tables.append(
            pa.table(
                {
                    "metric": pa.array([spec.name] * n).dictionary_encode(),
                    "column": pa.array([column] * n).dictionary_encode(),
                    "split": pa.array([split] * n).dictionary_encode(),
                    "row": index,
                    "file_name": [names[i] for i in index],
                    "identity_id": [people[i] for i in index],
                    "value": values,
                },
                schema=_ROWS_SCHEMA,
            )
        )
    return pa.concat_tables(tables)


def retrieved_table(spec: MetricSpec, result: MetricResult, data: EvaluationData) -> pa.Table:
    retrieved = result.retrieved
    if retrieved is None:
        return _RETRIEVED_SCHEMA.empty_table()
    _declared(spec, retrieved.split, "retrieved captions")
    names, _ = data.names(retrieved.split)
    found, cosines = np.asarray(retrieved.found), np.asarray(retrieved.cosines, dtype=float)
    if found.shape != cosines.shape or found.ndim != 2 or len(found) != len(names):
        raise MetricError(
            f"metric {spec.name} returned retrieved captions {list(found.shape)} with cosines {list(cosines.shape)} "
            f"for {len(names)} rows of {retrieved.split}"
        )
    if not np.isfinite(cosines[found >= 0]).all():
        raise MetricError(f"metric {spec.name} returned retrieved captions whose cosines are NaN or infinite")
    if found.size and not -1 <= found.min() <= found.max() < len(retrieved.captions):
        raise MetricError(f"metric {spec.name} returned numbers of captions that are not among those it returned")
    row, place = np.nonzero(found >= 0)
    which = found[row, place]
    used, codes = np.unique(which, return_inverse=True)
    n = len(row)
    return pa.table(
        {
            "metric": pa.array([spec.name] * n, pa.string()).dictionary_encode(),
            "split": pa.array([retrieved.split] * n, pa.string()).dictionary_encode(),
            "file_name": [names[i] for i in row],
            "place": place + 1,
            "caption": pa.DictionaryArray.from_arrays(
                pa.array(codes, pa.int32()), pa.array([retrieved.captions[i] for i in used], pa.string())
            ),
            "cosine": cosines[row, place],
        },
        schema=_RETRIEVED_SCHEMA,
    )


def _declared(spec: MetricSpec, split: str, what: str) -> None:
    if split not in spec.reads:
        raise MetricError(f"metric {spec.name} returned {what} of {split}, which it does not declare to read")
