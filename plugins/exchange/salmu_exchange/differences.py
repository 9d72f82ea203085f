"""Where two evaluations say something else of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from salmu_core.show.escape import visible
from salmu_exchange.form import Evaluation

#: Rows that are named.
FIRST = 5


class Difference(NamedTuple):
    """One column of two evaluations.

    Attributes:
        column: Its name.
        rows: How many it has.
        differ: How many rows differ by more than was allowed.
        largest: The largest difference there is.
        first: The first rows that differ: number, image, and the two values.
    """

    column: str
    rows: int
    differ: int
    largest: float
    first: Sequence[tuple[int, str, float, float]]

    def as_json(self) -> dict[str, Any]:
        """As ``salmu import --json`` prints it."""
        first = [dict(zip(("row", "file_name", "imported", "run"), each, strict=True)) for each in self.first]
        return {**self._asdict(), "first": first}

    def __str__(self) -> str:
        if not self.differ:
            return f"{self.column}: no row of {self.rows:,} differs (largest difference {self.largest:.3g})."
        some = "; ".join(
            f"row {row} ({visible(name)}) {one:.6g} and {other:.6g}" for row, name, one, other in self.first
        )
        return (
            f"{self.column}: {self.differ:,} of {self.rows:,} rows differ, by {self.largest:.3g} at most: {some}"
            f"{'; ...' if self.differ > len(self.first) else '.'}"
        )


def differences(imported: Evaluation, run: Evaluation, names: Sequence[str], tolerance: float = 0) -> list[Difference]:
    """Hold two evaluations of the same rows against each other.

    Args:
        imported: What was imported.
        run: What was scored here.
        names: Image of each row ``[n]``.
        tolerance: How far two values of a row may lie apart.
    """
    found = []
    for column, theirs in imported.rows.items():
        ours = run.rows[column]
        apart = np.abs(theirs - ours)
        rows = np.flatnonzero(apart > tolerance)
        first = [(int(row), names[row], float(theirs[row]), float(ours[row])) for row in rows[:FIRST]]
        found.append(Difference(column, len(theirs), len(rows), float(apart.max(initial=0)), first))
    return found
