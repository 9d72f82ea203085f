"""What leaks under an attack: metrics over the forget rows that the attacker did not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from salmu_core.contract.layout import FORGET
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import AttackError, NotMeasuredError
from salmu_core.plugins.zoo import Declared
from salmu_core.score.embeddings import Embeddings
from salmu_core.score.evaluate import compute_one
from salmu_core.score.tables import Tables
from salmu_core.store.attacks import QUERY
from salmu_core.store.records import MetricEntry


@dataclass(frozen=True)
class Leakage:
    """Metrics over the forget rows that the attacker did not hold."""

    metrics: Mapping[str, MetricEntry]
    """Those that have rows."""
    rows: pa.Table
    """One line for each metric column and row, as in ``per_row.parquet``."""

    @property
    def values(self) -> dict[str, float]:
        """Figure -> value."""
        return {column: value for entry in self.metrics.values() for column, value in entry.values.items()}

    @property
    def leading(self) -> float:
        """The figure that leads."""
        return next(iter(self.values.values()))


def labelled(found: Mapping[str, Leakage]) -> pa.Table:
    """The rows of several queries, readings or stages, each with its label."""
    return pa.concat_tables(
        leak.rows.append_column(QUERY, pa.array([label] * len(leak.rows), pa.string())) for label, leak in found.items()
    )


def leakage(
    view: Callable[[], Embeddings], metrics: Sequence[Declared[MetricSpec]], leaks: int, unscored: Sequence[int]
) -> Leakage:
    """Compute metrics of forget rows as an attack has them.

    Args:
        view: Makes the embeddings, for each metric anew: what another one asks for must not show.
        metrics: Those of role ``leak``, the leading one first, then others.
        leaks: How many are of role ``leak``.
        unscored: Numbers of the forget rows that the attacker held, or was told the same by.

    Raises:
        AttackError: A leak can't be computed of what the attack made, or no leak has rows.
        NotMeasuredError: No leak is measured.
    """
    if not leaks:
        raise AttackError("no metric of role 'leak' is installed, so nothing tells what an attack brings back")
    entries: dict[str, MetricEntry] = {}
    tables, lacking, unmeasured = [], {}, set()
    for place, declared in enumerate(metrics):
        name, made = declared.card.name, view()
        entry, beside = compute_one(declared, made)
        if entry.error and place < leaks:
            raise AttackError(f"metric {name} can't be computed of what the attack made: {entry.error}")
        rows = _not_held(beside.rows, made.data.base[FORGET].file_names, unscored)
        means = _means(rows)
        values = {column: means[column] for column in entry.values if column in means}
        if declared.card.columns[0] not in values:
            unmeasured |= {entry.not_measured} if place < leaks else set()
            lacking[name] = entry.not_measured or entry.error or "it returns no values of forget rows"
            continue
        entries[name] = entry.model_copy(update={"values": values})
        tables.append(Tables(rows, beside.retrieved.slice(0, 0)))
    if not any(declared.card.name in entries for declared in metrics[:leaks]):
        if None not in unmeasured:
            raise NotMeasuredError("; ".join(sorted(filter(None, unmeasured))))
        why = "; ".join(f"{declared.card.name}: {lacking[declared.card.name]}" for declared in metrics[:leaks])
        raise AttackError(
            f"no metric of role 'leak' tells row by row what leaks, which is needed to leave out what leaked to the "
            f"attacker ({why})"
        )
    return Leakage(entries, Tables.joined(tables).rows)


def _not_held(rows: pa.Table, file_names: Sequence[str], unscored: Sequence[int]) -> pa.Table:
    """The lines of forget rows that are scored."""
    free = set(file_names) - {file_names[row] for row in unscored}
    return rows.filter(pa.array([name in free for name in rows["file_name"].to_pylist()], pa.bool_()))


def _means(rows: pa.Table) -> dict[str, float]:
    names, values = np.array(rows["column"].to_pylist()), rows["value"].to_numpy()
    return {str(name): float(values[names == name].mean()) for name in np.unique(names)}
