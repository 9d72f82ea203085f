"""The rules of a certificate: what one person's rows show of what was to be forgotten, and of what was to be kept.

They look at intervals over the person's attributes, at guessing, and at Clean; docs/certificate.md has them in words.
Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from salmu_certificate.records import Stand, Word
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.protocol import MIN_HOLDOUT_RETENTION, MIN_LEAKAGE_REDUCTION
from salmu_core.judge.statistics import Clusters, Floats, Interval, interval

#: Of captions called found where a model guesses, at most this share (and, of people, anybody with such a caption).
FALSE_FINDS = 0.05
#: Of Clean's rows, this share lies beyond each end of the range that counts as its own.
BEYOND = 0.05
#: Of Clean's people, this share lies beyond the range of any figure.
BEYOND_ANY = 0.05
#: What may be left of what Compromised knows: the paper's bar.
LEFT = 1 - MIN_LEAKAGE_REDUCTION


class ThreeClusters(NamedTuple):
    """A figure of the same rows in three models, gathered by attribute."""

    before: Clusters
    after: Clusters
    clean: Clusters


class Level(NamedTuple):
    """A mean reciprocal rank that counts as gone, and how far the run lies above it."""

    value: float
    excess: Interval


@dataclass(frozen=True)
class Allowed:
    """What may be left: the most of three levels.

    Attributes:
        levels: ``guessing``: what guessing gives; ``Clean``: what Clean has of these rows; ``1% of before``.
    """

    levels: Mapping[str, Level]

    @property
    def verdict(self) -> Verdict:
        """Whether more is left: shown if more than each level, clear if no more than one of them."""
        if all(level.excess.low > 0 for level in self.levels.values()):
            return Verdict.HOLDS
        return Verdict.CLEAR if any(level.excess.high <= 0 for level in self.levels.values()) else Verdict.OPEN

    @property
    def most(self) -> str:
        """The highest level."""
        return max(self.levels, key=lambda name: self.levels[name].value)

    @property
    def decisive(self) -> str:
        """The level the verdict rests on: the one that is shown not to be passed, else the highest."""
        if self.verdict is Verdict.CLEAR:
            return min(self.levels, key=lambda name: self.levels[name].excess.high)
        return self.most


@dataclass(frozen=True)
class Forgotten:
    """What is left of what was to be forgotten."""

    word: Word
    known: bool
    allowed: Allowed
    decisive: int
    """By which of the metrics that look for the captions: one by which more is left, if there is one."""
    others: Interval | None
    """How much more often than in Clean another caption of the person comes first; None if no list was kept."""


@dataclass(frozen=True)
class Kept:
    """What is left of what was to be kept."""

    word: Word
    retention: Mapping[str, Interval] = field(default_factory=dict)


def guessing(gallery: int) -> float:
    """The mean reciprocal rank of a model that guesses among so many captions."""
    return float((1 / np.arange(1, gallery + 1)).mean())


def allowed(leak: ThreeClusters, gallery: int) -> Allowed:
    """What may be left, and how far the run lies above it.

    Args:
        leak: Reciprocal ranks.
        gallery: Captions among which the ranks are.
    """
    names, counts = leak.after.names, leak.after.counts
    levels = {
        "guessing": Clusters(names, guessing(gallery) * counts, counts),
        "Clean": leak.clean,
        "1% of before": Clusters(names, LEFT * leak.before.sums, counts),
    }
    return Allowed({name: Level(level.mean, interval(leak.after - level)) for name, level in levels.items()})


def better_than_guessing(*searches: tuple[Floats, int]) -> np.ndarray:
    """Which captions are shown to be found better than by guessing ``[n]``, by any of some searches.

    A caption's p in one search is its rank's share of the gallery, and of several the least times their number.
    Benjamini and Hochberg (1995) over the person's captions: captions
    of one person depend on each other positively, where it holds (Benjamini and Yekutieli 2001).

    Args:
        searches: Ranks from 1 ``[n]``, and among how many captions.
    """
    p = np.min([ranks / gallery for ranks, gallery in searches], axis=0) * len(searches)
    n = len(p)
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= FALSE_FINDS * np.arange(1, n + 1) / n)
    hit = np.zeros(n, dtype=bool)
    if len(passed):
        hit[order[: passed[-1] + 1]] = True
    return hit


def forgotten(
    leaks: Sequence[tuple[ThreeClusters, int]],
    hits: int,
    hits_before: int,
    others: ThreeClusters | None,
    asked: Sequence[Verdict],
    unlike: Sequence[str],
    unasked: Sequence[str] = (),
) -> Forgotten:
    """The verdict on what was to be forgotten.

    Args:
        leaks: Reciprocal ranks, and captions among which the ranks are, by each metric that looks for the captions.
        hits: Captions that are shown to be found, and are not in Clean.
        hits_before: The same of Compromised.
        others: Whether another caption of the person comes first, 1 or 0; None if no list was kept.
        asked: By each metric that asks for a name, or measures a leak otherwise: whether it tells more of the person
            than of people a model never saw.
        unlike: Figures that are shown to be unlike Clean's.
        unasked: Rules for which something was not measured.
    """
    bars = [allowed(leak, gallery) for leak, gallery in leaks]
    verdicts = [bar.verdict for bar in bars]
    decisive = next((verdicts.index(v) for v in (Verdict.HOLDS, Verdict.OPEN) if v in verdicts), 0)
    known = hits_before > 0 or any(interval(leak.before - leak.clean).low > 0 for leak, _ in leaks)
    more = interval(others.after - others.clean) if others else None
    brought = others is not None and others.after.mean > others.clean.mean
    seen = hits > 0 or Verdict.HOLDS in asked or (more is not None and more.low > 0)
    if seen or Verdict.HOLDS in verdicts:
        word = Word.STILL
    elif not known:
        word = Word.NEVER
    elif Verdict.OPEN in verdicts or Verdict.OPEN in asked or brought or unasked:
        word = Word.OPEN
    else:
        word = Word.TRACE if unlike else Word.GONE
    return Forgotten(word, known, bars[decisive], decisive, more)


def kept(measures: Mapping[str, ThreeClusters], gallery: int | None, rank: str) -> Kept:
    """The verdict on what was to be kept.

    Args:
        measures: Measure -> its rows.
        gallery: Captions among which ranks are; None where ranks were not measured.
        rank: Which measure is the reciprocal rank.
    """
    known = {name: rows for name, rows in measures.items() if interval(rows.before - rows.clean).low > 0}
    if not known:
        return Kept(Word.UNKNOWN)
    retention = {name: interval((x.after - x.clean).per(x.before - x.clean)) for name, x in known.items()}
    if any(share.high < MIN_HOLDOUT_RETENTION for share in retention.values()):
        if gallery is not None:
            gone = allowed(measures[rank], gallery).verdict is Verdict.CLEAR
        else:
            gone = all(interval(rows.after - rows.clean).high <= 0 for rows in known.values())
        return Kept(Word.ERASED if gone else Word.PARTLY, retention)
    clear = all(share.low >= MIN_HOLDOUT_RETENTION for share in retention.values())
    return Kept(Word.KEPT if clear else Word.OPEN, retention)


def never_seen(values: Floats) -> tuple[float, float] | None:
    """Between which values the rows of a model lie that saw none of them, but for `BEYOND` at each end.

    One more of their like lies beyond either end with at most that probability, whatever the distribution: order
    statistics. None where there are too few.

    Args:
        values: Clean's ``[n]``.
    """
    k = _out(BEYOND, len(values))
    if k < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[k - 1]), float(ordered[-k])


def never_seen_people(figures: Mapping[str, Mapping[str, float]]) -> tuple[dict[str, tuple[float, float]], int]:
    """Between which values the figures of people lie whom a model never saw: all figures of all but `BEYOND_ANY`.

    How far somebody is from the rest is the largest distance of any of their figures from its mean, in standard
    deviations; the ranges end at the distance that only so many of Clean's people pass. So they hold together, however
    many figures there are and however they hang together.

    Args:
        figures: Figure -> person -> Clean's value.

    Returns:
        Figure -> range, and the number of people it is over. No ranges where there are too few.
    """
    people = sorted(set.intersection(*(set(by_person) for by_person in figures.values()))) if figures else []
    k = _out(BEYOND_ANY, len(people))
    if k < 1:
        return {}, len(people)
    values = np.array([[by_person[person] for person in people] for by_person in figures.values()])
    middle, spread = values.mean(axis=1, keepdims=True), values.std(axis=1, ddof=1, keepdims=True)
    distance = np.divide(abs(values - middle), spread, out=np.zeros_like(values), where=spread > 0).max(axis=0)
    reach = np.sort(distance)[-k] * spread
    ends = np.hstack([middle - reach, middle + reach]).tolist()
    return {name: (low, high) for name, (low, high) in zip(figures, ends, strict=True)}, len(people)


def _out(share: float, n: int) -> int:
    """How many of ``n`` lie beyond, so that one more does with at most this probability; 0 where ``n`` is too small."""
    return int(share * (n + 1) + 1e-9)


def beside_clean(value: float, difference: Interval | None, around: tuple[float, float] | None) -> Stand:
    """Where a value stands to a model that never saw the person.

    Args:
        value: The run's.
        difference: From Clean's value of the same rows; None for a single row, of which there is no interval.
        around: Where values lie of a model that never saw this row, or person; None if that can't be told.
    """
    if around is None:
        return Stand.OPEN
    low, high = around
    if low <= value <= high:
        return Stand.AS
    if difference is None:
        return Stand.ABOVE if value > high else Stand.BELOW
    if value > high and difference.low > 0:
        return Stand.ABOVE
    return Stand.BELOW if value < low and difference.high < 0 else Stand.OPEN


def beside_before(difference: Interval) -> Stand:
    """Where a value stands to what Compromised has, by the interval of their difference."""
    if difference.low > 0:
        return Stand.HIGHER
    return Stand.LOWER if difference.high < 0 else Stand.SAME
