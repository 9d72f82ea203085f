"""Intervals and tests whose unit is the person, because captions of one person are not independent.

A figure is the mean of its rows. Rows are gathered into clusters, one for each person, and clusters are resampled
(Cameron, Gelbach and Miller 2008). Intervals are bias-corrected and accelerated (BCa, Efron 1987), because reciprocal
ranks are skewed, and widened for few or unequal clusters (the expansion of Hesterberg 2015, section 4.2.2, with the
jackknife's standard error). Everything is a pure function of its input. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

#: Resamples of every interval.
RESAMPLES = 2000
CONFIDENCE = 0.95
#: Rows without a person are gathered into at most so many clusters, round robin: they are independent anyway.
NOBODY = 1000
_SEED = 42


@dataclass(frozen=True)
class Interval:
    """A figure and where it may lie: its value, and the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        """Whether all of it lies between two bounds."""
        return low <= self.low and self.high <= high


@dataclass(frozen=True)
class Clusters:
    """Rows gathered by whom they show.

    Attributes:
        names: Of each cluster ``[c]``, sorted.
        sums: Sum of each cluster's rows ``[c]``.
        counts: Number of each cluster's rows ``[c]``.
    """

    names: tuple[str, ...]
    sums: Floats
    counts: Floats

    @classmethod
    def of(cls, values: Sequence[float] | Floats, people: Sequence[str | None]) -> Clusters:
        """Gather rows.

        Args:
            values: Value of each row ``[n]``.
            people: Person shown in each row, or None.

        Raises:
            ValueError: There are no rows, or not as many people as values.
        """
        if not len(people) or len(values) != len(people):
            raise ValueError(f"{len(values)} values of {len(people)} rows can't be gathered")
        keys = [f"row {i % NOBODY:04d}" if person is None else f"person {person}" for i, person in enumerate(people)]
        names, codes = np.unique(np.array(keys), return_inverse=True)
        weights = np.asarray(values, dtype=np.float64)
        sums, counts = (np.bincount(codes, w, len(names)).astype(np.float64) for w in (weights, np.ones_like(weights)))
        return cls(tuple(names.tolist()), sums, counts)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def mean(self) -> float:
        """Mean over all rows."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def standard_error(self) -> float:
        """Of `mean`, by leaving out one cluster at a time: the cluster jackknife, CV3 of MacKinnon et al. 2023."""
        c = len(self)
        if c < 2:
            return float("nan")
        without = (self.sums.sum() - self.sums) / (self.counts.sum() - self.counts)
        return float(np.sqrt((c - 1) / c * ((without - self.mean) ** 2).sum()))

    def __sub__(self, other: Clusters) -> Clusters:
        """Differences row by row.

        Raises:
            ValueError: They are not of the same rows.
        """
        if self.names != other.names or not np.array_equal(self.counts, other.counts):
            raise ValueError("only values of the same rows can be paired")
        return Clusters(self.names, self.sums - other.sums, self.counts)


def interval(rows: Clusters, confidence: float = CONFIDENCE) -> Interval:
    """BCa interval of the mean over rows, by resampling clusters.

    One cluster says nothing about its like: then the interval is infinite.
    """
    mean = rows.mean
    if len(rows) < 2:
        return Interval(mean, -np.inf, np.inf)
    if np.ptp(rows.sums - mean * rows.counts) <= 1e-12 * max(1.0, float(np.abs(rows.sums).max())):
        return Interval(mean, mean, mean)  # all alike
    found = stats.bootstrap(
        (rows.sums, rows.counts),
        _ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 10_000_000 // len(rows)),
        confidence_level=_expanded(confidence, rows),
        method="BCa",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def _ratio(sums: Floats, counts: Floats, axis: int = -1) -> Any:
    return sums.sum(axis=axis) / counts.sum(axis=axis)


def _expanded(confidence: float, rows: Clusters) -> float:
    """The level at which a percentile interval of few clusters is as wide as one of Student's t and the jackknife."""
    c = len(rows)
    resampled = np.sqrt(((rows.sums - rows.mean * rows.counts) ** 2).sum()) / rows.counts.sum()
    student = stats.t.ppf((1 + confidence) / 2, c - 1) * max(1.0, rows.standard_error / resampled)
    return float(1 - 2 * stats.norm.cdf(-student))


def p_value(difference: Clusters) -> float:
    """Two-sided p of a mean difference being 0: Student's t on the jackknife's standard error."""
    error = difference.standard_error
    if not error > 0:
        return 1.0 if difference.mean == 0 else 0.0 if error == 0 else 1.0
    return float(2 * stats.t.sf(abs(difference.mean) / error, len(difference) - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values of a family of tests (Holm 1979)."""
    ordered = sorted(p_values, key=lambda name: (p_values[name], name))
    adjusted, highest = {}, 0.0
    for place, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def equivalent(difference: Clusters, margin: float) -> bool:
    """Whether a mean difference is shown to be within a margin of 0, both ways.

    Two one-sided tests at 5% (Schuirmann 1987), as inclusion of the 90% interval.
    """
    return interval(difference, confidence=0.90).within(-margin, margin)


def over_worlds(means: Sequence[float], within: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Interval of a mean over worlds: people, data and models anew in each.

    A world's mean carries the noise of its people and seeds, so the spread of the means measures all of it; where few
    means happen to lie closer together than their own errors allow, the errors are taken.

    Args:
        means: The figure in each world, a mean over its seeds.
        within: Standard error of each, from its people and seeds.

    Raises:
        ValueError: There are fewer than two worlds: what a new world would give can't be told from one.
    """
    worlds = len(means)
    if worlds < 2 or len(within) != worlds:
        raise ValueError(f"an interval over worlds needs at least two, and an error for each; here are {worlds}")
    between = float(np.var(means, ddof=1)) / worlds
    inside = float(np.mean(np.square(within))) / worlds
    half = float(stats.t.ppf((1 + confidence) / 2, worlds - 1)) * np.sqrt(max(between, inside))
    mean = float(np.mean(means))
    return Interval(mean, mean - half, mean + half)


def margin(clean: Sequence[float]) -> float:
    """How far two models that never saw a thing may lie apart: 95% of differences between Clean models of two worlds.

    Args:
        clean: The figure for Clean in each world, at least two.
    """
    worlds = len(clean)
    if worlds < 2:
        raise ValueError("the noise between Clean models can't be told from one")
    return float(stats.t.ppf(0.975, worlds - 1) * np.std(clean, ddof=1) * np.sqrt(2))


def worst(rows: Clusters, share: float) -> float:
    """Mean of the worst clusters' means: those ``share`` of people for whom the figure is highest, at least one."""
    means = np.sort(rows.sums / rows.counts)[::-1]
    return float(means[: max(1, round(share * len(means)))].mean())


def tpr_at_fpr(members: Floats, others: Floats, fpr: float = 0.001) -> float:
    """Share of members that score above all but ``fpr`` of the others: the strict end of the ROC (Carlini et al. 2022).

    With fewer than 1 / fpr others, no other may score as high.
    """
    allowed = int(fpr * len(others))
    bar = np.sort(others)[::-1][allowed]
    return float((members > bar).mean())
