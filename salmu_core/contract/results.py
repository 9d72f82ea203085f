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
    """Values of a split's rows, for intervals and for finding out who leaks; the core takes their means.

    Args:
        split: The split whose rows are meant.
        values: Of the metric's one figure ``[n]``; or, for a metric that declares ``figures``, figure -> array ``[n]``.
        index: Row numbers ``[n]`` within the split; by default all rows in order.
    """

    split: str
    values: np.ndarray | Mapping[str, np.ndarray]
    index: np.ndarray | None = None


@dataclass(frozen=True)
class Ranks:
    """Where the own caption of each row of a split comes among those of a gallery.

    Args:
        split: The split whose rows are meant, all of them in order.
        values: Ranks ``[n]`` from 1; of captions that tie, halves.
        gallery: Number of captions that are searched, the own one included.
        like: Ranks ``[n]`` among captions of the own one's kind alone, and how many those are.
    """

    split: str
    values: np.ndarray
    gallery: int
    like: tuple[np.ndarray, int] | None = None


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
    """What a metric returns: each figure once, as a value or as rows.

    Args:
        value: Of a figure that has no rows; for a metric that declares ``figures``, figure -> value.
        per_row: Rows, whose mean is the figure.
        chance: Value that guessing gives; for a metric that declares ``figures``, figure -> value.
        ranks: Where the rows' captions come, if the metric looks for them.
        details: Facts about how it was computed (a seed, say) that belong to the record.
        retrieved: What the model finds for each image, if the metric retrieves.
    """

    value: float | Mapping[str, float] | None = None
    per_row: PerRow | None = None
    chance: float | Mapping[str, float] | None = None
    ranks: Ranks | None = None
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
