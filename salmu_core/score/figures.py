"""From what a metric returns to its figures, by the names they carry in tables and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salmu_core.contract.results import MetricResult, finite
from salmu_core.contract.specs import MetricSpec
from salmu_core.errors import MetricError

Rows = Mapping[str, NDArray[np.float64]]

#: How far rounding may take a figure out of its bounds.
_ROUNDING = 1e-6


def rows(spec: MetricSpec, result: MetricResult) -> dict[str, NDArray[np.float64]]:
    """Column -> value of each row ``[n]``, of the figures that have rows."""
    given = _by_column(spec, result.per_row.values if result.per_row else None, "rows")
    return {column: np.asarray(values, dtype=np.float64) for column, values in given.items()}


def means(rows: Rows) -> dict[str, float]:
    """Column -> the figure: the mean of its rows."""
    return {column: float(values.mean()) for column, values in rows.items()}


def figures(spec: MetricSpec, result: MetricResult) -> dict[str, float]:
    """Column -> value of every figure that is declared.

    Raises:
        MetricError: One is missing, given twice, or outside the bounds that are declared.
        ValueError: One is NaN or infinite.
    """
    of_rows, alone = means(rows(spec, result)), _by_column(spec, result.value, "a value")
    if twice := of_rows.keys() & alone.keys():
        raise MetricError(
            f"metric {spec.name} returned a value and rows of {', '.join(sorted(twice))}: give the rows, whose mean "
            "the figure is"
        )
    if missing := set(spec.columns) - of_rows.keys() - alone.keys():
        raise MetricError(f"metric {spec.name} returned nothing for {', '.join(sorted(missing))}, which it declares")
    given = {**of_rows, **alone}
    values = {column: finite(given[column]) for column in spec.columns}
    low, high = spec.bounds or (-np.inf, np.inf)
    if outside := [column for column, x in values.items() if not low - _ROUNDING <= x <= high + _ROUNDING]:
        name = outside[0]
        raise MetricError(f"metric {spec.name}: {name} is {values[name]:g}, outside its bounds {low:g} and {high:g}")
    return values


def chances(spec: MetricSpec, result: MetricResult) -> dict[str, float]:
    """Column -> value that guessing gives, of the figures for which the metric says it."""
    given = _by_column(spec, result.chance, "what guessing gives")
    return {column: finite(value) for column, value in given.items()}


def _by_column(spec: MetricSpec, given: Any, what: str) -> dict[str, Any]:
    """What a metric gives for its figures, by column: one thing, or a thing for each figure by its name."""
    if given is None:
        return {}
    if isinstance(given, Mapping) != bool(spec.figures):
        form = f"by figure: {', '.join(spec.figures)}" if spec.figures else f"for {spec.name} alone, without a name"
        raise MetricError(f"metric {spec.name} must give {what} {form}")
    if not spec.figures:
        return {spec.name: given}
    columns = dict(zip(spec.figures, spec.columns, strict=True))
    if unknown := given.keys() - columns.keys():
        raise MetricError(
            f"metric {spec.name} returned {what} of {', '.join(map(repr, sorted(unknown)))}; its figures are called "
            f"{', '.join(spec.figures)}"
        )
    return {columns[figure]: value for figure, value in given.items()}
