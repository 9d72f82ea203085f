"""The fragile set: the retain rows that learning the sensitive pairs hurt most.

Rule: of the retain pairs without identity, those that show people (they lie nearest to the sensitive domain)
are ordered by how far their similarity falls from Clean to Compromised; the share of the recipe with the largest
fall is fragile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from salmu_mini.rows import Row


class Similarity(TypedDict):
    """Cosine of one pair under each model, and the fall between them."""

    clean: float
    compromised: float
    drop: float


def candidates(rows: Sequence[Row]) -> list[Row]:
    """`retain_disjoint`: released retain rows that show nobody of the sensitive sets."""
    return [row for row in rows if row.split == "retain_synth" and row.identity_id is None]


def all_similarities(
    rows: Sequence[Row], clean: NDArray[np.float64], compromised: NDArray[np.float64]
) -> dict[str, Similarity]:
    """file name -> similarities, rounded to 1e-6."""
    return {
        row.file_name: {
            "clean": round(float(before), 6),
            "compromised": round(float(after), 6),
            "drop": round(float(before) - float(after), 6),
        }
        for row, before, after in zip(rows, clean, compromised, strict=True)
    }


def fragile_ids(rows: Sequence[Row], found: dict[str, Similarity], share: float) -> list[str]:
    """File names of the fragile rows, largest fall first; equal falls in order of name."""
    people = [row.file_name for row in rows if row.shot is not None]
    ordered = sorted(people, key=lambda name: (-found[name]["drop"], name))
    return ordered[: max(1, round(share * len(ordered)))]
