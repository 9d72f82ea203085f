"""All metrics of one checkpoint: embedded once, computed one by one, written as one record and one table."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from salmu_core.clip import Clip
from salmu_core.context import MetricContext
from salmu_core.dataset import EvaluationData
from salmu_core.embeddings import Catalogue, Embedder, Images
from salmu_core.errors import MetricError, NotMeasuredError, SalmuError
from salmu_core.hashing import hash_file
from salmu_core.plugins import Declared, code_hash
from salmu_core.records import MetricEntry, MetricResult, MetricsRecord, ScoredOn, finite
from salmu_core.specs import MetricSpec
from salmu_core.store import METRICS, ROWS, replacing, write_record

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
) -> tuple[MetricsRecord, pa.Table]:
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
        The record, and a table with one line per metric column and row.
    """
    start = time.perf_counter()
    embedder = Embedder(clip, data, images, device, on_batch, catalogue)
    entries: dict[str, MetricEntry] = {}
    tables: list[pa.Table] = []
    for declared in metrics:
        entry, rows = compute_one(declared, embedder)
        entries[declared.spec.name] = entry
        tables += rows
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
    return record, pa.concat_tables(tables) if tables else _ROWS_SCHEMA.empty_table()


def write_metrics(folder: Path, record: MetricsRecord, rows: pa.Table) -> None:
    """Write ``per_row.parquet``, then ``metrics.json`` with its hash: the record never speaks of absent rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / ROWS) as path:
        pq.write_table(rows.unify_dictionaries(), path)
    write_record(folder / METRICS, record.model_copy(update={"rows_hash": hash_file(folder / ROWS)}))


def compute_one(declared: Declared[MetricSpec], embedder: Embedder) -> tuple[MetricEntry, list[pa.Table]]:
    """One metric: its entry, with values or an error, and a table for each column it has rows of."""
    spec = declared.spec
    values: dict[str, float] = {}
    rows: list[pa.Table] = []
    details: dict[str, Any] = {}
    problem = lacking = None
    try:
        result = spec.compute(MetricContext(embedder, spec.reads, spec.name))
        values = _values(spec, result)
        rows, details = _rows(spec, result, values, embedder.data), dict(result.details)
        json.dumps(details, allow_nan=False)  # or the record could not be written
    except KeyboardInterrupt:
        raise
    except NotMeasuredError as error:
        lacking = str(error)
    except SalmuError as error:
        values, rows, details, problem = {}, [], {}, str(error)
    except BaseException as error:  # SystemExit too: a plugin must not end the evaluation of the others
        values, rows, details, problem = {}, [], {}, f"{type(error).__name__}: {error}"
    entry = MetricEntry(
        values=values,
        details=details,
        error=problem,
        not_measured=lacking,
        plugin=f"{declared.distribution} {declared.version}",
        code_hash=code_hash(declared.module),
    )
    return entry, rows


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


def _rows(spec: MetricSpec, result: MetricResult, values: Mapping[str, float], data: EvaluationData) -> list[pa.Table]:
    per_row = result.per_row
    if per_row is None:
        return []
    if per_row.split not in spec.reads:
        raise MetricError(f"metric {spec.name} returned rows of {per_row.split}, which it does not declare to read")
    names, people = data.names(per_row.split)
    index = np.arange(len(names)) if per_row.index is None else np.asarray(per_row.index)
    if len(np.unique(index)) != len(index) or not ((index >= 0) & (index < len(names))).all():
        raise MetricError(f"metric {spec.name} returned row numbers that repeat or lie outside {per_row.split}")
    tables = []
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
    return tables
