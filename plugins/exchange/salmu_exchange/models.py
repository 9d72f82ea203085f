"""Scored models of a results folder, as their rows stand in the order of the shards. Needs no torch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salmu_core.contract.layout import FORGET
from salmu_core.errors import UsageError
from salmu_core.judge.single import ScoredModel
from salmu_core.store.schema import ROWS
from salmu_exchange.form import PARTS, Evaluation, Floats, Part


def table_of(model: ScoredModel, part: Part) -> pa.Table:
    """The lines of ``per_row.parquet`` that have a part's rows, in the order of the split.

    Raises:
        UsageError: It has not one for each row of the forget set.
    """
    assert part.rows is not None
    column = part.rows[1]
    wanted = [("metric", "=", part.metric), ("column", "=", column), ("split", "=", FORGET)]
    path = model.folder / ROWS
    table = pq.read_table(path, filters=wanted).sort_by("row") if path.is_file() else pa.table({"row": []})
    if not len(table) or not np.array_equal(table["row"].to_numpy(), np.arange(len(table))):
        raise UsageError(f"{model.folder} has no {column} of {part.metric} for each row of {FORGET}: score it again.")
    return table


def evaluation_of(model: ScoredModel) -> Evaluation:
    """What the authors' file says of a model.

    Raises:
        UsageError: A metric was not computed, or is an error.
    """
    values: dict[str, float] = {}
    rows: dict[str, Floats] = {}
    for part in PARTS:
        entry = model.metrics.metrics.get(part.metric)
        skipped = entry is not None and entry.not_measured and not part.rows
        if entry is None or (not entry.values and not skipped):
            why = (entry.error or entry.not_measured) if entry else "it was not computed"
            raise UsageError(f"{model.folder} has no {part.metric}, which the file must have: {why}.")
        values |= {column: entry.values[column] for column in part.figures.values() if column in entry.values}
        if part.rows:
            rows[part.rows[1]] = table_of(model, part)["value"].to_numpy()
    sizes = {column: len(of_rows) for column, of_rows in rows.items()}
    if len(set(sizes.values())) > 1:
        raise UsageError(f"{model.folder} has another number of rows for each metric ({sizes}): score it again.")
    return Evaluation(values, rows)


def file_names(model: ScoredModel) -> list[str]:
    """Name of each forget row's image."""
    names: list[str] = pc.cast(table_of(model, PARTS[0])["file_name"], pa.string()).to_pylist()
    return names


def slug_of(model: ScoredModel) -> str:
    """How its file is called."""
    record = model.record
    if record is None:
        return f"{model.metrics.benchmark}-{model.folder.resolve().name}".replace("@", "-")
    return f"{record.method}-{record.config_hash[:12]}-{model.folder.resolve().name}"
