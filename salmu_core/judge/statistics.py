"""Intervals and tests whose unit is the person, because captions of one person are not independent.

A figure is the mean of its rows. Rows are gathered into clusters, one for each person, and clusters are resampled
(Cameron, Gelbach and Miller 2008). Intervals are bias-corrected and accelerated (BCa, Efron 1987), because reciprocal
ranks are skewed, and widened for few or unequal clusters (the expansion of Hesterberg 2015, section 4.2.2, with the
jackknife's standard error). `salmu_core.judge.repeats` adds seeds and worlds to the people. Everything is a pure
function of its input. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Floats = NDArray[np.float64]
Choices = Callable[[int], Iterator[NDArray[np.intp]]]
K = TypeVar("K")

#: Resamples of every interval.
RESAMPLES = 2000
CONFIDENCE = 0.95
#: Rows without a person are gathered into at most so many clusters, round robin: they are independent anyway.
NOBODY = 1000
#: With fewer clusters, resampling can't reach as far out as Student's t does.
FEW = 15
#: Up to so many clusters, what is drawn of them is kept in memory for the next figure.
_FEW_ENOUGH = 1000
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


def interval_json(interval: Interval) -> dict[str, float | None]:
    """Value and ends; an end that is not known is null."""
    low, high = (end if abs(end) != float("inf") else None for end in (interval.low, interval.high))
    return {"value": interval.value, "low": low, "high": high}


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
        names, codes, counts = _grouping(tuple(people))
        sums = np.bincount(codes, np.asarray(values, dtype=np.float64), len(names)).astype(np.float64)
        return cls(names, sums, counts)

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
        with np.errstate(divide="ignore", invalid="ignore"):  # of a ratio, one cluster may hold all there is below
            without = (self.sums.sum() - self.sums) / (self.counts.sum() - self.counts)
            error = float(np.sqrt((c - 1) / c * ((without - self.mean) ** 2).sum()))
        return error if np.isfinite(error) else float("inf")

    @property
    def alike(self) -> bool:
        """Whether every cluster has the same mean, but for rounding."""
        spread = np.ptp(self.sums - self.mean * self.counts)
        return bool(spread <= 1e-12 * max(1.0, float(np.abs(self.sums).max())))

    def same_rows(self, other: Clusters) -> bool:
        """Whether the two are of the same rows."""
        if self.names is other.names and self.counts is other.counts:
            return True
        return self.names == other.names and np.array_equal(self.counts, other.counts)

    @classmethod
    def alone(cls, value: float) -> Clusters:
        """A figure without rows: one cluster, of which nothing can be told."""
        return cls(("",), np.array([value]), np.ones(1))

    @classmethod
    def average(cls, runs: Sequence[Clusters]) -> Clusters:
        """Mean over runs, row by row.

        Raises:
            ValueError: They are not of the same rows.
        """
        total = runs[0]
        for other in runs[1:]:
            total = total._paired(other, total.sums + other.sums)
        return Clusters(total.names, total.sums / len(runs), total.counts)

    def __sub__(self, other: Clusters) -> Clusters:
        """Differences row by row.

        Raises:
            ValueError: They are not of the same rows.
        """
        return self._paired(other, self.sums - other.sums)

    def per(self, other: Clusters) -> Clusters:
        """The ratio of two figures, as the mean of clusters that weigh as much as the other's sums.

        Raises:
            ValueError: They are not of the same rows, or the other figure is 0.
        """
        self._paired(other, self.sums)
        if not other.sums.sum():
            raise ValueError("a ratio to 0 is no figure")
        return Clusters(self.names, self.sums, other.sums)

    def of_people(self, people: Collection[str]) -> Clusters | None:
        """The rows of some people, by their ids; None if there are none."""
        wanted = {f"person {person}" for person in people}
        chosen = [number for number, name in enumerate(self.names) if name in wanted]
        names = tuple(self.names[number] for number in chosen)
        return Clusters(names, self.sums[chosen], self.counts[chosen]) if chosen else None

    @classmethod
    def joined(cls, parts: Sequence[Clusters]) -> Clusters:
        """One figure over several sets of people, who are taken for different ones."""
        names = tuple(f"{place} {name}" for place, part in enumerate(parts) for name in part.names)
        sums, counts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("sums", "counts"))
        return cls(names, sums, counts)

    def _paired(self, other: Clusters, sums: Floats) -> Clusters:
        if not self.same_rows(other):
            raise ValueError("only values of the same rows can be paired")
        return Clusters(self.names, sums, self.counts)


@lru_cache(maxsize=128)  # all runs on a benchmark have the same rows
def _grouping(people: tuple[str | None, ...]) -> tuple[tuple[str, ...], NDArray[np.intp], Floats]:
    """Name and size of each cluster, and for each row the number of its cluster."""
    keys = [f"row {i % NOBODY:04d}" if person is None else f"person {person}" for i, person in enumerate(people)]
    names, codes, counts = np.unique(np.array(keys), return_inverse=True, return_counts=True)
    return tuple(names.tolist()), codes, counts.astype(np.float64)


def interval(rows: Clusters, confidence: float = CONFIDENCE) -> Interval:
    """BCa interval of the mean over rows, by resampling clusters.

    One cluster says nothing about its like: then the interval is infinite. So few clusters that 2,000 resamples can't
    show the tails, and ratios whose lower part may come near 0 when clusters are drawn, have Student's interval on the
    jackknife's error instead.
    """
    mean = rows.mean
    if len(rows) < 2:
        return Interval(mean, -np.inf, np.inf)
    if rows.alike and np.isfinite(rows.standard_error):
        return Interval(mean, mean, mean)
    spread = float(np.linalg.norm(rows.counts - rows.counts.mean()))
    steady = (rows.counts > 0).all() or rows.counts.sum() > 6 * spread
    if steady and len(rows) >= FEW:
        bootstrapped = _bootstrap(rows, _expanded(confidence, rows))
        if np.isfinite([bootstrapped.low, bootstrapped.high]).all():
            return bootstrapped
    half = float(stdtrit(len(rows) - 1, (1 + confidence) / 2)) * rows.standard_error
    return Interval(mean, mean - half, mean + half)


def _bootstrap(rows: Clusters, confidence: float) -> Interval:
    """BCa (Efron 1987, section 4), to the bit as scipy.stats has it, whose import takes longer than most listings.

    The ends are NaN where all resamples lie on one side.
    """
    resamples = np.sort(_means(rows, _drawn))
    below = np.count_nonzero(resamples < rows.mean) + np.count_nonzero(resamples <= rows.mean)
    without = _means(rows, _one_left_out)
    c = len(rows)
    influence = (c - 1) * (without.mean() - without)
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = 1 / 6 * ((influence**3).sum() / c**3) / ((influence**2).sum() / c**2) ** (3 / 2)
        bias, normal = ndtri(below / (2 * RESAMPLES)), ndtri((1 - confidence) / 2)
        shifted = bias + np.array([normal, -normal])
        level = ndtr(bias + shifted / (1 - acceleration * shifted))
    if not np.isfinite(level).all():
        return Interval(rows.mean, np.nan, np.nan)
    place = level * RESAMPLES + (1 - level)  # from 1
    part, after = place % 1, np.minimum(place.astype(int), RESAMPLES - 1)
    ends = (1 - part) * resamples[after - 1] + part * resamples[after]
    return Interval(rows.mean, float(ends[0]), float(ends[1]))


def _means(rows: Clusters, choices: Choices) -> Floats:
    """Mean over all rows of each choice of clusters."""
    return _totals(rows.sums, choices) / _counted(rows.counts.tobytes(), choices)


@lru_cache(maxsize=64)  # most figures are of the same rows
def _counted(counts: bytes, choices: Choices) -> Floats:
    return _totals(np.frombuffer(counts), choices)


def _totals(values: Floats, choices: Choices) -> Floats:
    """Sum over each choice of clusters."""
    chosen = _kept(choices, len(values)) if len(values) <= _FEW_ENOUGH else choices(len(values))
    return np.concatenate([values.take(part).sum(axis=-1) for part in chosen])


def _drawn(clusters: int) -> Iterator[NDArray[np.intp]]:
    """Which clusters each resample consists of, ``[RESAMPLES, clusters]`` in all."""
    rng = np.random.default_rng(_SEED)
    for part in _parts(RESAMPLES, clusters):
        yield rng.integers(0, clusters, (len(part), clusters))


def _one_left_out(clusters: int) -> Iterator[NDArray[np.intp]]:
    """All clusters but one, for each: ``[clusters, clusters - 1]`` in all."""
    for part in _parts(clusters, clusters):
        columns = np.arange(clusters - 1)
        yield columns + (columns >= part[:, None])


def _parts(choices: int, clusters: int) -> Iterator[NDArray[np.intp]]:
    """Numbers of the choices, some at a time, to bound memory."""
    numbers = np.arange(choices)
    size = max(1, 10_000_000 // clusters)
    return (numbers[start : start + size] for start in range(0, choices, size))


@lru_cache(maxsize=8)  # all figures on a benchmark have one of a few numbers of clusters
def _kept(choices: Choices, clusters: int) -> Sequence[NDArray[np.intp]]:
    return tuple(choices(clusters))


def _expanded(confidence: float, rows: Clusters) -> float:
    """The level at which a percentile interval of few clusters is as wide as one of Student's t and the jackknife."""
    c = len(rows)
    resampled = np.sqrt(((rows.sums - rows.mean * rows.counts) ** 2).sum()) / rows.counts.sum()
    student = stdtrit(c - 1, (1 + confidence) / 2) * max(1.0, rows.standard_error / resampled)
    return float(1 - 2 * ndtr(-student))


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Adjusted p values of a family of tests (Holm 1979)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted, highest = {}, 0.0
    for place, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def worst(rows: Clusters, share: float) -> float:
    """Mean of the worst clusters' means: those ``share`` of people for whom the figure is highest, at least one."""
    means = np.sort(rows.sums / rows.counts)[::-1]
    return float(means[: max(1, round(share * len(means)))].mean())


def tpr_at_fpr(members: Floats, others: Floats, fpr: float) -> float:
    """Share of members that score above all but ``fpr`` of the others: the strict end of the ROC (Carlini et al. 2022).

    With fewer than 1 / fpr others, no other may score as high.
    """
    allowed = int(fpr * len(others))
    bar = np.sort(others)[::-1][allowed]
    return float((members > bar).mean())
