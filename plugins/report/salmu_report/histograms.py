"""How the cosines of a split's pairs are distributed: the paper's figure 5, for every method. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salmu_core.judge.statistics import Floats

#: Cosines are counted in bins of this width, and shown in as many as fit.
WIDTH = 0.01
MOST = 64

Counts = NDArray[np.int64]


def count(cosines: Floats) -> Counts:
    """Number of cosines in each bin from -1 to 1 ``[200]``."""
    edges = np.linspace(-1, 1, round(2 / WIDTH) + 1)
    # Rounding may leave a cosine a little outside.
    counts: Counts = np.histogram(np.clip(cosines, -1, 1), edges)[0]
    return counts


def mean_shares(runs: Sequence[Counts | Floats]) -> Floats:
    """Share of the pairs in each bin, the mean over runs ``[200]``."""
    shares: Floats = np.mean([run / run.sum() for run in runs], axis=0)
    return shares


@dataclass(frozen=True)
class Panel:
    """The histograms of one split, on common bins.

    Attributes:
        split: The split.
        start: Where the first bin begins.
        width: Of a bin.
        shares: Model -> share of its pairs in each bin, in percent.
    """

    split: str
    start: float
    width: float
    shares: Mapping[str, list[float]]


def panel(split: str, models: Mapping[str, Iterable[Counts | Floats]]) -> Panel | None:
    """Bring several models' counts into one picture: cut to where there is something, neighbours merged.

    Args:
        split: The split.
        models: Model -> counts, or shares, in each of its worlds, which weigh the same; one without any is left out.
    """
    shares = {model: mean_shares(runs) for model, counts in models.items() if (runs := [*counts])}
    if not shares:
        return None
    filled = np.flatnonzero(np.sum([*shares.values()], axis=0))
    first, last = int(filled[0]), int(filled[-1]) + 1
    merged = -(-(last - first) // MOST)
    last = min(first + merged * -(-(last - first) // merged), len(next(iter(shares.values()))))
    starts = np.arange(first, last, merged)
    percent = {
        model: [round(100 * float(s), 3) for s in np.add.reduceat(share[:last], starts)]
        for model, share in shares.items()
    }
    return Panel(split, round(-1 + first * WIDTH, 6), merged * WIDTH, percent)
