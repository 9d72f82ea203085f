"""What a metric returns. Importing this costs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class PerRow:
    """One value per row of a split, for intervals and for finding out who leaks.

    Where a column carries a figure's name, the figure is the column's mean.

    Args:
        split: The split whose rows are meant.
        values: Column name -> array ``[n]``.
        index: Row numbers ``[n]`` within the split; by default all rows in order.
    """

    split: str
    values: Mapping[str, np.ndarray]
    index: np.ndarray | None = None


@dataclass(frozen=True)
class Retrieved:
    """The captions a model puts first for each image of a split, for people to look at.

    Args:
        split: The split whose rows are meant, all of them in order.
        captions: Texts that were found, each once.
        found: Numbers in ``captions`` ``[n, k]``, the best first; -1 where there were fewer than ``k``.
        cosines: Of each image with these captions ``[n, k]``.
    """

    split: str
    captions: Sequence[str]
    found: np.ndarray
    cosines: np.ndarray


@dataclass(frozen=True)
class MetricResult:
    """What a metric returns.

    Args:
        value: The figure; or, for a metric that declares ``figures``, one value for each.
        per_row: Values per row of a split, if the metric has them.
        details: Facts about how it was computed (a gallery's size, say) that belong to the record.
        retrieved: What the model finds for each image, if the metric retrieves.
    """

    value: float | Mapping[str, float]
    per_row: PerRow | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    retrieved: Retrieved | None = None


def finite(value: float) -> float:
    """Return ``value`` as a plain float.

    Raises:
        ValueError: It is NaN or infinite; such a figure is an error, not a result.
    """
    if not math.isfinite(value):
        raise ValueError(f"the value is {value}")
    return float(value)
