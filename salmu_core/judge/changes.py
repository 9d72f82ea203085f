"""Two models of the same data, held against each other row by row: figures, ranks, people, and how they were made.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from salmu_core.judge.repeats import Repeats
from salmu_core.judge.single import ScoredModel
from salmu_core.judge.statistics import CONFIDENCE, Floats, Interval, interval_json
from salmu_core.store.schema import SCHEMA

Side = Literal["a", "b"]
#: In what two runs may differ.
KINDS = ("run", "setting", "code", "cost", "attack")
#: Where both models stand alike to a target.
_ALIKE = 1e-12


@dataclass(frozen=True)
class Change:
    """One figure that both models have.

    Attributes:
        target: The reference model whose value it should reach.
        a: Value of A.
        b: Value of B.
        gap: B - A, row by row; None where the two are not of the same rows.
        p: Of the gap being 0, adjusted by Holm over all figures.
        reference: Value of the target, where it is known.
        closer: How much nearer to the target B is than A, row by row.
        p_closer: Of that being 0, adjusted by Holm over all figures.
    """

    name: str
    target: str
    a: float
    b: float
    gap: Repeats | None
    p: float | None = None
    reference: float | None = None
    closer: Repeats | None = None
    p_closer: float | None = None

    @cached_property
    def difference(self) -> Interval:
        """B - A with its interval; an infinite one where nothing is paired."""
        return self.gap.interval() if self.gap else Interval(self.b - self.a, -np.inf, np.inf)

    @property
    def differs(self) -> bool:
        """Whether the two are shown to differ."""
        return self.p is not None and self.p < 1 - CONFIDENCE

    @property
    def nearer(self) -> Side | None:
        """Which one measures nearer to the target; None where both do, or the target is not known."""
        if self.closer is None or abs(self.closer.value) <= _ALIKE:
            return None
        return "b" if self.closer.value > 0 else "a"

    @property
    def nearer_shown(self) -> bool:
        """Whether it is shown to be nearer."""
        return self.nearer is not None and self.p_closer is not None and self.p_closer < 1 - CONFIDENCE

    def as_json(self) -> dict[str, Any]:
        """As ``salmu diff --json`` prints it."""
        return {
            "a": self.a,
            "b": self.b,
            "difference": interval_json(self.difference),
            "p": self.p,
            "shown": self.differs,
            "target": self.target,
            "reference": self.reference,
            "nearer": self.nearer,
            "p_nearer": self.p_closer,
            "nearer_shown": self.nearer_shown,
        }


class Fact(NamedTuple):
    """Something in which the two runs differ.

    Attributes:
        kind: One of `KINDS`.
        a: Of A; None where it has no such thing.
        b: Of B.
    """

    kind: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Ranks:
    """Where the captions of the forget rows stand in A and in B.

    Attributes:
        a: Rank of each row ``[n]``, from 1.
        b: The same rows' in B ``[n]``.
    """

    a: Floats
    b: Floats

    def as_json(self) -> dict[str, Any]:
        """As ``salmu diff --json`` prints it."""
        return {
            "rows": len(self.a),
            "nearer_first": int((self.b < self.a).sum()),
            "further_back": int((self.b > self.a).sum()),
            "same": int((self.b == self.a).sum()),
            "first": {"a": float((self.a == 1).mean()), "b": float((self.b == 1).mean())},
            "median": {"a": float(np.median(self.a)), "b": float(np.median(self.b))},
        }


class Moved(NamedTuple):
    """The leak of one person: the mean of their rows."""

    identity_id: str
    rows: int
    a: float
    b: float

    @property
    def change(self) -> float:
        """B - A."""
        return self.b - self.a


@dataclass(frozen=True)
class Difference:
    """Everything there is to say of two models.

    Attributes:
        changes: Figures that both have.
        tails: Name -> values of A and B.
        facts: How the runs differ.
        ranks: Of the forget rows; None where they are not measured.
        people: Everybody in the forget set, from whoever leaks so much less in B to whoever leaks so much more.
        notes: What can't be said, in sentences.
    """

    a: ScoredModel
    b: ScoredModel
    changes: Sequence[Change]
    tails: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    facts: Sequence[Fact] = ()
    ranks: Ranks | None = None
    people: Sequence[Moved] = ()
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """What ``salmu diff --json`` prints."""
        return {
            "schema": SCHEMA,
            "a": self.a.as_json(),
            "b": self.b.as_json(),
            "figures": {change.name: change.as_json() for change in self.changes},
            "tails": {name: {"a": a, "b": b, "difference": b - a} for name, (a, b) in self.tails.items()},
            "differs": [fact._asdict() for fact in self.facts],
            "ranks": self.ranks.as_json() if self.ranks else None,
            "people": [{**moved._asdict(), "difference": moved.change} for moved in self.people],
            "notes": list(self.notes),
        }
