"""Intervals and tests whose unit is the person, because captions of one person are not independent.

A figure is the mean of its rows. Rows are gathered into clusters, one for each person, and clusters are resampled
(Cameron, Gelbach and Miller 2008). Intervals are bias-corrected and accelerated (BCa, Efron 1987), because reciprocal
ranks are skewed, and widened for few or unequal clusters (the expansion of Hesterberg 2015, section 4.2.2, with the
jackknife's standard error). A `Study` adds seeds and worlds to the people. Everything is a pure function of its input.
Needs no torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
K = TypeVar("K")

#: Resamples of every interval.
RESAMPLES = 2000
CONFIDENCE = 0.95
#: Rows without a person are gathered into at most so many clusters, round robin: they are independent anyway.
NOBODY = 1000
#: With fewer clusters, resampling can't reach as far out as Student's t does.
FEW = 15
#: Of fewer reference models the spread says next to nothing.
MIN_WORLDS = 3
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

    @classmethod
    def joined(cls, parts: Sequence[Clusters]) -> Clusters:
        """One figure over several sets of people, who are taken for different ones."""
        names = tuple(f"{place} {name}" for place, part in enumerate(parts) for name in part.names)
        sums, counts = (np.concatenate([getattr(part, what) for part in parts]) for what in ("sums", "counts"))
        return cls(names, sums, counts)

    def _paired(self, other: Clusters, sums: Floats) -> Clusters:
        if not self.same_rows(other):
            raise ValueError("only values of the same rows can be paired")
        return Clusters(self.names, sums, self.counts)


@lru_cache(maxsize=32)  # all runs on a benchmark have the same rows
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
        found = _bootstrap(rows, _expanded(confidence, rows))
        if np.isfinite([found.low, found.high]).all():
            return found
    half = float(stats.t.ppf((1 + confidence) / 2, len(rows) - 1)) * rows.standard_error
    return Interval(mean, mean - half, mean + half)


def _bootstrap(rows: Clusters, confidence: float) -> Interval:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # then the ends are NaN
        found = stats.bootstrap(
            (rows.sums, rows.counts),
            _ratio,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 10_000_000 // len(rows)),
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(_SEED),
        ).confidence_interval
    return Interval(rows.mean, float(found.low), float(found.high))


def _ratio(sums: Floats, counts: Floats, axis: int = -1) -> Any:
    return sums.sum(axis=axis) / counts.sum(axis=axis)


def _expanded(confidence: float, rows: Clusters) -> float:
    """The level at which a percentile interval of few clusters is as wide as one of Student's t and the jackknife."""
    c = len(rows)
    resampled = np.sqrt(((rows.sums - rows.mean * rows.counts) ** 2).sum()) / rows.counts.sum()
    student = stats.t.ppf((1 + confidence) / 2, c - 1) * max(1.0, rows.standard_error / resampled)
    return float(1 - 2 * stats.norm.cdf(-student))


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Adjusted p values of a family of tests (Holm 1979)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted, highest = {}, 0.0
    for place, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


@dataclass(frozen=True)
class Study:
    """One figure in each world (people, data and models anew) under each seed of a method.

    Attributes:
        worlds: World -> seed -> rows, in one world the same rows under each seed.
    """

    worlds: Mapping[str, Mapping[int, Clusters]]

    @classmethod
    def of(cls, worlds: Mapping[str, Mapping[int, Clusters]]) -> Study:
        """A study; where the seeds of a world are not of the same rows, only their means can be taken."""
        found = {}
        for world, runs in worlds.items():
            first, *others = runs.values()
            matched = all(first.same_rows(other) for other in others)
            found[world] = runs if matched else {seed: Clusters.alone(run.mean) for seed, run in runs.items()}
        return cls(found)

    def minus(self, other: Study) -> Study:
        """Differences row by row, in the worlds and under the seeds that both have.

        Raises:
            ValueError: They have none in common, or not the same rows.
        """
        common = {
            world: runs.keys() & other.worlds[world].keys()
            for world, runs in self.worlds.items()
            if world in other.worlds
        }
        found = {
            world: {seed: self.worlds[world][seed] - other.worlds[world][seed] for seed in sorted(seeds)}
            for world, seeds in common.items()
            if seeds
        }
        if not found:
            raise ValueError("studies without a world and seed in common can't be compared")
        return Study(found)

    @property
    def value(self) -> float:
        """Mean over worlds of the mean over seeds."""
        return float(np.mean(self._means))

    @property
    def _means(self) -> list[float]:
        return [Clusters.average([*runs.values()]).mean for runs in self.worlds.values()]

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Where the figure may lie.

        * One world, one seed: `interval` of its people; what another seed or world would give is not in it.
        * One world, several seeds: the people's interval of the seeds' mean and Student's of the seeds, joined by
          their ends (MOVER, Zou and Donner 2008).
        * Several worlds: Student's over the worlds' means. A world's mean carries the noise of its people and seeds,
          so the spread of the means measures all of it; where few means happen to lie closer together than their own
          errors allow, the errors are taken.
        """
        if len(self.worlds) > 1:
            half = float(stats.t.ppf((1 + confidence) / 2, len(self.worlds) - 1)) * self._error()[0]
            return Interval(self.value, self.value - half, self.value + half)
        ((*runs,),) = (runs.values() for runs in self.worlds.values())
        people = interval(Clusters.average(runs), confidence)
        if len(runs) == 1:
            return people
        spread = np.std([run.mean for run in runs], ddof=1) / np.sqrt(len(runs))
        seeds = stats.t.ppf((1 + confidence) / 2, len(runs) - 1) * spread
        below, above = (float(np.hypot(people.value - end, seeds)) for end in (people.low, people.high))
        return Interval(people.value, people.value - below, people.value + above)

    def p_value(self) -> float:
        """Two-sided p of the figure being 0: Student's t; over several worlds, with one degree less than there are.

        Where all people of a world differ from 0 by the same amount, which has no error, it is that of the sign test.
        """
        value, (error, freedom) = self.value, self._error()
        if not np.isfinite(error):
            return 1.0
        runs = [run for world in self.worlds.values() for run in world.values()]
        if len(self.worlds) == 1 and all(run.alike and run.mean == runs[0].mean for run in runs):
            return 1.0 if abs(value) < 1e-12 else min(1.0, 2 * 0.5 ** len(runs[0]))
        return float(2 * stats.t.sf(abs(value) / error, freedom)) if error > 0 else 1.0

    def within(self, margin: float) -> bool:
        """Whether the figure is shown to lie within a margin of 0, both ways.

        Two one-sided tests at 5% (Schuirmann 1987), as inclusion of the 90% interval.
        """
        return self.interval(confidence=0.90).within(-margin, margin)

    def _error(self) -> tuple[float, float]:
        """Standard error and degrees of freedom (Satterthwaite's, where people and seeds are both sampled)."""
        errors = [_error_in_world([*runs.values()]) for runs in self.worlds.values()]
        if len(errors) == 1:
            return errors[0]
        between = float(np.var(self._means, ddof=1))
        # What has no rows tells nothing of its error within a world; if the worlds agree too, nothing is known of it.
        inside = [error**2 for error, _ in errors if not np.isnan(error)]
        if not inside and between <= 1e-24:
            return float("inf"), len(errors) - 1
        return float(np.sqrt(max(between, float(np.mean(inside)) if inside else 0.0) / len(errors))), len(errors) - 1


def _error_in_world(runs: Sequence[Clusters]) -> tuple[float, float]:
    people, freedom = Clusters.average(runs).standard_error, len(runs[0]) - 1
    if len(runs) == 1 or not np.isfinite(people):
        return people, freedom
    squares = np.array([people**2, np.var([run.mean for run in runs], ddof=1) / len(runs)])
    if not squares.sum() > 0:
        return float(np.sqrt(squares.sum())), freedom
    return float(np.sqrt(squares.sum())), float(
        squares.sum() ** 2 / (squares**2 / [max(1, freedom), len(runs) - 1]).sum()
    )


def noise(worlds: Sequence[float]) -> float:
    """How far two models trained alike lie apart: what 95% of differences between those of two worlds stay below.

    The margin of equivalence with a reference model. It takes the spread found for the true one: an allowance for not
    knowing it would make the margin wider the less is known, and equivalence easier to claim.

    Args:
        worlds: The figure for the reference model in each world, at least `MIN_WORLDS`.
    """
    if len(worlds) < MIN_WORLDS:
        raise ValueError(f"the noise between models of one recipe can't be told from {len(worlds)} of them")
    return float(stats.norm.ppf(0.975) * np.sqrt(2) * np.std(worlds, ddof=1))


def ranks(studies: Sequence[Study], alpha: float = 1 - CONFIDENCE) -> list[tuple[int, int]]:
    """Between which places each of several figures may rank, the highest first; ties share places.

    Of every pair the difference is tested, adjusted by Holm over all pairs; whoever is shown to be higher stands
    before, and nobody else (Al Mohamad, van Zwet, Goeman and Solari 2021).

    Args:
        studies: Figures of the same worlds, seeds and rows.
        alpha: Level at which all places hold together.
    """
    worlds = max((len(study.worlds) for study in studies), default=0)
    found = {(i, j): _difference(studies[i], studies[j], worlds) for i in range(len(studies)) for j in range(i)}
    adjusted = holm({pair: p for pair, (_, p) in found.items()})
    above, below = [0] * len(studies), [0] * len(studies)
    for (i, j), (difference, _) in found.items():
        if adjusted[i, j] < alpha:
            higher, lower = (i, j) if difference > 0 else (j, i)
            above[lower] += 1
            below[higher] += 1
    return [(1 + above[i], len(studies) - below[i]) for i in range(len(studies))]


def _difference(one: Study, other: Study, worlds: int) -> tuple[float, float]:
    """Difference and its p; 1 for what can't be compared, or in one world only where there are several."""
    try:
        gap = one.minus(other)
    except ValueError:
        return 0.0, 1.0
    return gap.value, gap.p_value() if len(gap.worlds) > 1 or worlds == 1 else 1.0


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
