"""How many pairs of what: the released data set's totals, scaled, and shared out among people and attributes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from salmu_mini.seeds import stream

from salmu_core import UsageError, layout


@dataclass(frozen=True)
class Totals:
    """People by group, and pairs by part. `forget` is the first two parts together."""

    forgotten: int
    half: int
    held_out: int
    forget_identity: int
    forget_association: int
    holdout_association: int
    holdout_identity: int
    joint: int
    strangers: int
    scenes: int

    @property
    def identities(self) -> int:
        return self.forgotten + self.half + self.held_out

    @property
    def forget(self) -> int:
        return self.forget_identity + self.forget_association

    @property
    def sensitive(self) -> int:
        return self.forget + self.holdout_association + self.holdout_identity

    @property
    def retain(self) -> int:
        return self.joint + self.strangers + self.scenes


#: The released data set: 60,053 sensitive pairs, 30,468 of them `forget`, and 16,741 of `retain_synth`. Only these sums
#: are published; how `forget` is cut in two and what the retain pairs show is this package's choice, near "about 15k"
#: and "about 1k".
FULL: Final = Totals(
    forgotten=193,
    half=387,
    held_out=194,
    forget_identity=15_111,
    forget_association=15_357,
    holdout_association=14_943,
    holdout_identity=14_642,
    joint=1_000,
    strangers=5_000,
    scenes=10_741,
)


@dataclass(frozen=True)
class Share:
    """One person's part: sensitive pairs by attribute with the split they go to, and generic portraits."""

    split: dict[str, str]
    pairs: dict[str, int]
    joint: int

    @property
    def portraits(self) -> int:
        return sum(self.pairs.values()) + self.joint


def totals(identities: int, pairs: float | None = None) -> Totals:
    """The released totals in the same proportions.

    Args:
        identities: People in all.
        pairs: Sensitive pairs a person on average; None for the released 60,053 / 774.

    Raises:
        UsageError: Too few people for all three groups.
    """
    people = Fraction(identities, FULL.identities)
    rows = people if pairs is None else identities * Fraction(pairs) / FULL.sensitive
    forgotten, held_out = round(FULL.forgotten * people), round(FULL.held_out * people)
    half = identities - forgotten - held_out
    if min(forgotten, held_out, half) < 1:
        raise UsageError(f"--identities {identities}: at least 3 are needed for all splits to have rows.")
    names = ("forget_identity", "forget_association", "holdout_association", "holdout_identity")
    retain = ("joint", "strangers", "scenes")
    parts = {name: max(1, round(getattr(FULL, name) * rows)) for name in (*names, *retain)}
    return Totals(forgotten, half, held_out, **parts)


def spread(total: int, parts: int, start: int = 0) -> list[int]:
    """`total` as `parts` whole numbers that differ by one at most; the larger ones from `start` on, in a circle."""
    base, more = divmod(total, parts)
    return [base + ((place - start) % parts < more) for place in range(parts)]


def shares(seed: int, parts: Totals) -> list[Share]:
    """Each person's part, by number: whole people, or half of the attributes (four or five) of each.

    Raises:
        UsageError: An attribute of somebody would get no pair.
    """
    order = [int(n) for n in stream(seed, "groups").permutation(parts.identities)]
    joint = spread(parts.joint, parts.forgotten + parts.half)
    wholly = spread(parts.forget_identity, parts.forgotten)
    partly = list(
        zip(spread(parts.forget_association, parts.half), spread(parts.holdout_association, parts.half), strict=True)
    )
    outside = spread(parts.holdout_identity, parts.held_out)
    found: dict[int, Share] = {}
    for place, number in enumerate(order):
        if place < parts.forgotten:
            share = _share(place, [(layout.FORGET, layout.DATA_FIELDS, wholly[place])], joint[place])
        elif place < parts.forgotten + parts.half:
            shuffled = [
                layout.DATA_FIELDS[int(n)]
                for n in stream(seed, "attributes", number).permutation(len(layout.DATA_FIELDS))
            ]
            cut = len(layout.DATA_FIELDS) // 2 + place % 2
            gone, kept = partly[place - parts.forgotten]
            halves = [
                (layout.FORGET, tuple(shuffled[:cut]), gone),
                (layout.HOLDOUT_ASSOCIATION, tuple(shuffled[cut:]), kept),
            ]
            share = _share(place, halves, joint[place])
        else:
            rows = outside[place - parts.forgotten - parts.half]
            share = _share(place, [(layout.HOLDOUT_IDENTITY, layout.DATA_FIELDS, rows)], 0)
        if min(share.pairs.values()) < 1:
            raise UsageError("--pairs is too small: every attribute of every person needs a pair; try 12 or more.")
        found[number] = share
    return [found[number] for number in range(parts.identities)]


def _share(place: int, groups: list[tuple[str, tuple[str, ...], int]], joint: int) -> Share:
    split: dict[str, str] = {}
    pairs: dict[str, int] = {}
    for name, fields, total in groups:
        for field, count in zip(fields, spread(total, len(fields), place), strict=True):
            split[field], pairs[field] = name, count
    ordered = [field for field in layout.DATA_FIELDS if field in pairs]
    return Share({f: split[f] for f in ordered}, {f: pairs[f] for f in ordered}, joint)
