"""What came of each trial, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Trial(NamedTuple):
    """One fault, and what came of it.

    Attributes:
        fault: What was done, as a row of a table.
        outcome: What came of it, in a word or two.
        wrong: What should not have been, in a sentence; empty where all is well.
    """

    fault: str
    outcome: str
    wrong: str = ""


class Frozen(BaseModel):
    """Base of what is written down: closed and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(Frozen):
    """All trials of one fault with one outcome."""

    fault: str
    outcome: str
    times: int
    wrong: tuple[str, ...] = ()
    """Of those where something should not have been, what; the first few."""
    times_wrong: int = 0


class Part(Frozen):
    """What one loop found."""

    date: str
    commit: str
    system: str
    python: str
    seed: int
    seconds: int
    lines: tuple[Line, ...]

    @property
    def trials(self) -> int:
        """How many there were."""
        return sum(line.times for line in self.lines)

    @property
    def wrong(self) -> int:
        """In how many of them something should not have been."""
        return sum(line.times_wrong for line in self.lines)


class Reliability(Frozen):
    """``docs/data/reliability.json``: name of a loop -> what it found."""

    parts: dict[str, Part] = {}


def tally(trials: Iterable[Trial], shown: int = 3) -> tuple[Line, ...]:
    """Counts of trials, in the order in which their faults came up."""
    kept = list(trials)
    times = Counter((trial.fault, trial.outcome) for trial in kept)
    lines = []
    for (fault, outcome), number in times.items():
        wrong = [trial.wrong for trial in kept if (trial.fault, trial.outcome) == (fault, outcome) and trial.wrong]
        lines.append(
            Line(fault=fault, outcome=outcome, times=number, wrong=tuple(wrong[:shown]), times_wrong=len(wrong))
        )
    faults = {line.fault: i for i, line in reversed([*enumerate(lines)])}
    return tuple(sorted(lines, key=lambda line: faults[line.fault]))
