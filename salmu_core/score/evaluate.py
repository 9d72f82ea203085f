"""All metrics of one checkpoint: embedded once, computed one by one, written as one record and one table."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from salmu_core.benchmark.splits import EvaluationData
from salmu_core.clip.load import Clip
from salmu_core.contract.context import MetricContext
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import MetricError, NotMeasuredError, SalmuError
from salmu_core.plugins import Declared, code_hash
from salmu_core.score.embeddings import Catalogue, Embedder, Images
from salmu_core.store.folders import METRICS, RETRIEVED, ROWS, replacing, write_record
from salmu_core.store.hashing import hash_file
from salmu_core.store.records import MetricEntry, MetricResult, MetricsRecord, ScoredOn, finite

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


def evaluate(
    clip: Clip,
    checkpoint_hash: str,
    data: EvaluationData,
    images: Images,
    metrics: Iterable[Declared[MetricSpec]],
    *,
    benchmark: str,
    scored_on: ScoredOn,
    device: torch.device | str = "cpu",
    on_batch: Callable[[int], None] | None = None,
    catalogue: Catalogue | None = None,
) -> tuple[MetricsRecord, Tables]:
    """Compute metrics; one that fails is an entry with its error.

    Args:
        clip: The checkpoint, on ``device``.
        checkpoint_hash: Goes into the record.
        data: The benchmark's rows.
        images: Its decoded images.
        metrics: What to compute.
        benchmark: The benchmark's name.
        scored_on: Goes into the record.
        device: Where to embed.
        on_batch: Told of the number of items embedded, batch by batch.
        catalogue: Its tokenised captions.

    Returns:
        The record, and the tables that belong beside it.
    """
    start = time.perf_counter()
    embedder = Embedder(clip, data, images, device, on_batch, catalogue)
    entries: dict[str, MetricEntry] = {}
    tables: list[Tables] = []
    for declared in metrics:
        entry, found = compute_one(declared, embedder)
        entries[declared.spec.name] = entry
        tables.append(found)
    record = MetricsRecord(
        benchmark=benchmark,
        data_hash=scored_on.data_hash,
        zeroshot_hash=scored_on.zeroshot_hash,
        checkpoint_hash=checkpoint_hash,
        metrics=entries,
        images_encoded=embedder.images_encoded,
        captions_encoded=embedder.captions_encoded,
        seconds=round(time.perf_counter() - start, 3),
    )
    return record, Tables.joined(tables)


def write_metrics(folder: Path, record: MetricsRecord, tables: Tables) -> None:
    """Write the tables, then ``metrics.json`` with their hashes: the record never speaks of absent rows."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for field, name in (("rows_hash", ROWS), ("retrieved_hash", RETRIEVED)):
        with replacing(folder / name) as path:
            pq.write_table(getattr(tables, field.removesuffix("_hash")).unify_dictionaries(), path)
        hashes[field] = hash_file(folder / name)
    write_record(folder / METRICS, record.model_copy(update=hashes))


def compute_one(declared: Declared[MetricSpec], embedder: Embedder) -> tuple[MetricEntry, Tables]:
    """One metric: its entry, with values or an error, and its tables."""
    spec = declared.spec
    values: dict[str, float] = {}
    tables = nothing = Tables.joined([])
    details: dict[str, Any] = {}
    problem = lacking = None
    try:
        result = spec.compute(MetricContext(embedder, spec.reads, spec.name))
        values = _values(spec, result)
        tables = Tables(_rows(spec, result, values, embedder.data), _retrieved(spec, result, embedder.data))
        details = dict(result.details)
        json.dumps(details, allow_nan=False)  # or the record could not be written
    except KeyboardInterrupt:
        raise
    except NotMeasuredError as error:
        lacking = str(error)
    except SalmuError as error:
        values, tables, details, problem = {}, nothing, {}, str(error)
    except BaseException as error:  # SystemExit too: a plugin must not end the evaluation of the others
        values, tables, details, problem = {}, nothing, {}, f"{type(error).__name__}: {error}"
    entry = MetricEntry(
        values=values,
        details=details,
        error=problem,
        not_measured=lacking,
        plugin=f"{declared.distribution} {declared.version}",
        code_hash=code_hash(declared.module),
    )
    return entry, tables


def _values(spec: MetricSpec, result: object) -> dict[str, float]:
    if not isinstance(result, MetricResult):
        raise MetricError(f"metric {spec.name} returned {type(result).__name__}; it must return a MetricResult")
    found = result.value if isinstance(result.value, Mapping) else {"": result.value}
    if set(found) != set(spec.figures or ("",)):
        raise MetricError(
            f"metric {spec.name} declares the figures {', '.join(spec.figures) or 'none'} and returned "
            f"{', '.join(found) or 'none'}"
        )
    return {column: finite(found[figure]) for column, figure in zip(spec.columns, spec.figures or ("",), strict=True)}


def _rows(spec: MetricSpec, result: MetricResult, values: Mapping[str, float], data: EvaluationData) -> pa.Table:
    per_row = result.per_row
    if per_row is None:
        return _ROWS_SCHEMA.empty_table()
    _declared(spec, per_row.split, "rows")
    names, people = data.names(per_row.split)
    index = np.arange(len(names)) if per_row.index is None else np.asarray(per_row.index)
    if len(np.unique(index)) != len(index) or not ((index >= 0) & (index < len(names))).all():
        raise MetricError(f"metric {spec.name} returned row numbers that repeat or lie outside {per_row.split}")
    tables = [_ROWS_SCHEMA.empty_table()]
    for column, column_values in per_row.values.items():
        if column in spec.figures:
            raise MetricError(
                f"metric {spec.name} returned rows called {column!r}; the column of that figure is called "
                f"'{spec.name}_{column}'"
            )
        if len(column_values) != len(index):
            raise MetricError(
                f"metric {spec.name} returned {len(column_values)} values of {column} for {len(index)} rows of "
                f"{per_row.split}"
            )
        if not np.isfinite(np.asarray(column_values, dtype=float)).all():
            raise MetricError(f"metric {spec.name} returned rows of {column} that are NaN or infinite")
        if column in values and not math.isclose(float(np.mean(column_values)), values[column], abs_tol=1e-9):
            raise MetricError(f"metric {spec.name}: {column} is not the mean of its rows")
        n = len(index)
        tables.append(
            pa.table(
                {
                    "metric": pa.array([spec.name] * n).dictionary_encode(),
                    "column": pa.array([column] * n).dictionary_encode(),
                    "split": pa.array([per_row.split] * n).dictionary_encode(),
                    "row": index,
                    "file_name": [names[i] for i in index],
                    "identity_id": [people[i] for i in index],
                    "value": np.asarray(column_values, dtype=float),
                },
                schema=_ROWS_SCHEMA,
            )
        )
    return pa.concat_tables(tables)


def _retrieved(spec: MetricSpec, result: MetricResult, data: EvaluationData) -> pa.Table:
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
