"""What the table is made of: columns, and what stands in them, as people read it and in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from salmu_core.judge.lines import Line
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Interval, interval_json
from salmu_core.judge.targets import Column
from salmu_core.show.words import Word


class Part(Enum):
    """Where a column belongs."""

    FACTS = auto()
    """Which line it is, what it is the mean of, and what it took."""
    FIGURES = auto()
    EVIDENCE = auto()
    """What the verdicts rest on."""
    OVERVIEW = auto()
    """The same, on the first screen only."""
    VERDICT = auto()
    PLACES = auto()
    ATTACKS = auto()
    """What is back under attack."""
    TAILS = auto()


class Cell(NamedTuple):
    """What a column says.

    Attributes:
        words: The value, or several things that are said.
        mark: Behind the value: ``*`` shown to miss its target, ``≈`` shown to be at it.
        half: The longer half of the value's interval, ``±.021``.
        aside: Behind the interval: ``°`` looks at pairs the method was trained on.
        target: Whether it is what the lines should reach.
        fields: In full, one for each of the column's fields; none where nothing is known.
    """

    words: tuple[Word, ...] = ()
    mark: str = ""
    half: str = ""
    aside: str = ""
    target: bool = False
    fields: tuple[object, ...] = ()

    @property
    def text(self) -> str:
        """What it says, without signs, on one line."""
        return ", ".join(word.text for word in self.words)


def cell(text: object, *fields: object, tone: str = "") -> Cell:
    """A cell that says one thing."""
    return Cell((Word(str(text), tone),), fields=fields)


#: What fields tell of an interval.
ENDS = ("value", "low", "high")


def ends_of(interval: Interval | None) -> tuple[float | None, ...]:
    """An interval in full; nothing, three times, where there is none."""
    return tuple(interval_json(interval).values()) if interval else (None,) * len(ENDS)


def silence(_: object) -> Cell:
    """Nothing to say."""
    return Cell()


@dataclass(frozen=True)
class TableColumn:
    """One column of the table.

    Attributes:
        header: Its name where people read it.
        line: What it says of a line.
        role: What it says of a reference model.
        run: What it says of a run without a result.
        fields: Its names where programs read it, several for a value with its interval.
        meaning: What it is, in a few words.
        short: Its name where there is little room.
        left: Whether it is text, and begins on the left.
        figure: The figure it shows, where it shows one.
        measured: Whether it has a value for some line.
    """

    header: str
    part: Part
    line: Callable[[Line], Cell] = silence
    role: Callable[[str], Cell] = silence
    run: Callable[[Row], Cell] = silence
    fields: tuple[str, ...] = ()
    meaning: str = ""
    short: str = ""
    left: bool = False
    figure: Column | None = None
    measured: bool = True
