"""A figure over worlds and seeds: its interval, its difference from another, and who ranks where. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from salmu_core.judge.statistics import CONFIDENCE, Clusters, Interval, holm, interval

#: Of fewer reference models the spread says next to nothing.
MIN_WORLDS = 3


@dataclass(frozen=True)
class Repeats:
    """One figure in each world (people, data and models anew) under each seed of a method.

    Attributes:
        worlds: World -> seed -> rows, in one world the same rows under each seed.
    """

    worlds: Mapping[str, Mapping[int, Clusters]]

    @classmethod
    def of(cls, worlds: Mapping[str, Mapping[int, Clusters]]) -> Repeats:
        """A figure's rows; where the seeds of a world are not of the same rows, only their means can be taken."""
        comparable = {}
        for world, runs in worlds.items():
            first, *others = runs.values()
            matched = all(first.same_rows(other) for other in others)
            comparable[world] = runs if matched else {seed: Clusters.alone(run.mean) for seed, run in runs.items()}
        return cls(comparable)

    def minus(self, other: Repeats) -> Repeats:
        """Differences row by row, in the worlds and under the seeds that both have.

        Raises:
            ValueError: They have none in common, or not the same rows.
        """
        common = {
            world: runs.keys() & other.worlds[world].keys()
            for world, runs in self.worlds.items()
            if world in other.worlds
        }
        gaps = {
            world: {seed: self.worlds[world][seed] - other.worlds[world][seed] for seed in sorted(seeds)}
            for world, seeds in common.items()
            if seeds
        }
        if not gaps:
            raise ValueError("figures without a world and seed in common can't be compared")
        return Repeats(gaps)

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
            half = float(stdtrit(len(self.worlds) - 1, (1 + confidence) / 2)) * self._error()[0]
            return Interval(self.value, self.value - half, self.value + half)
        ((*runs,),) = (runs.values() for runs in self.worlds.values())
        people = interval(Clusters.average(runs), confidence)
        if len(runs) == 1:
            return people
        spread = np.std([run.mean for run in runs], ddof=1) / np.sqrt(len(runs))
        seeds = stdtrit(len(runs) - 1, (1 + confidence) / 2) * spread
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
        return float(2 * stdtr(freedom, -abs(value) / error)) if error > 0 else 1.0

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
    return float(ndtri(0.975) * np.sqrt(2) * np.std(worlds, ddof=1))


def places(ordered: Iterable[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """First and last place each of several figures may have, the highest first; ties share places.

    Whoever is shown to be higher stands before, and nobody else (Al Mohamad, van Zwet, Goeman and Solari 2021).

    Args:
        ordered: Pairs of figures of which the first is shown to be higher, as `shown_higher` finds them.
    """
    above, below = [0] * count, [0] * count
    for higher, lower in ordered:
        above[lower] += 1
        below[higher] += 1
    return [(1 + above[i], count - below[i]) for i in range(count)]


def shown_higher(figures: Sequence[Repeats], alpha: float = 1 - CONFIDENCE) -> set[tuple[int, int]]:
    """Pairs (i, j) of several figures of which the first is shown to be higher, by Holm over all pairs.

    Args:
        figures: Of the same worlds, seeds and rows.
        alpha: Level at which all pairs hold together.
    """
    worlds = max((len(figure.worlds) for figure in figures), default=0)
    gaps = {(i, j): _difference(figures[i], figures[j], worlds) for i in range(len(figures)) for j in range(i)}
    adjusted = holm({pair: p for pair, (_, p) in gaps.items()})
    return {(i, j) if difference > 0 else (j, i) for (i, j), (difference, _) in gaps.items() if adjusted[i, j] < alpha}


def _difference(one: Repeats, other: Repeats, worlds: int) -> tuple[float, float]:
    """Difference and its p; 1 for what can't be compared, or in one world only where there are several."""
    try:
        gap = one.minus(other)
    except ValueError:
        return 0.0, 1.0
    return gap.value, gap.p_value() if len(gap.worlds) > 1 or worlds == 1 else 1.0
