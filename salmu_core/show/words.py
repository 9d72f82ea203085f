"""How figures are written on a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from salmu_core.judge.diagnosis import RECOVERABLE, Diagnosis, Verdict
from salmu_core.judge.statistics import Interval

#: Verdict -> what follows the name of a failure mode in tables.
MARKS = {Verdict.HOLDS: "", Verdict.OPEN: "?", None: " n/a"}
#: Notes of `Diagnosis.remarks` in words.
_NOTES = {
    "≠Clean": "what is left of the leak is unlike Clean's",
    "<0": "some holdouts lie below a model that never saw them",
}


#: What an attacker may hold beside the checkpoint, in words.
_HELD = {"leaked": "leaked pairs", "retain": "the retain set", "original": "the original's weights"}


class Word(NamedTuple):
    """Something that is said, and its tone: ``good``, ``bad``, ``open``, ``faint``, a failure mode, or none."""

    text: str
    tone: str = ""


def number(value: float) -> str:
    """A figure with as many digits as it needs."""
    return f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def half(interval: Interval, form: str = "", short: bool = False) -> str:
    """The longer half of an interval, ``±0.021``, or ``±<0.001`` of a short one; nothing where it is not known.

    Args:
        form: How it is written; by default with as many decimals as `number` gives the value.
        short: Whether to leave out the zero before the point.
    """
    size = max(interval.high - interval.value, interval.value - interval.low)
    if not isfinite(size):
        return ""
    decimals = 4 if 0 < abs(interval.value) < 0.01 else 3
    digits = format(size, form or f".{decimals}f")
    less = ""
    if not re.search("[1-9]", digits):
        if not size:
            return "±0"
        less, digits = "<", re.sub(r"0(?=\D*$)", "1", digits)
    return f"±{less}{digits.removeprefix('0') if short else digits}"


def count(number: int, noun: str) -> str:
    """How many of something."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{value:+.4f}" if 0 < abs(value) < 0.01 else f"{value:+.3f}"


def percent(value: float, decimals: int = 0, sign: bool = False) -> str:
    """A share, in percent; what is rounded to nothing has no sign."""
    rounded = round(value, decimals + 2)
    return f"{rounded + 0.0:{'+' if sign and rounded else ''}.{decimals}%}"


def held(given: Sequence[str]) -> str:
    """What an attacker holds beside the checkpoint."""
    return " and ".join(_HELD.get(name, name) for name in given) or "nothing"


def mode_words(diagnosis: Diagnosis) -> tuple[Word, ...]:
    """Failure modes with the marks of the tables, each with its own tone where it holds."""
    if not diagnosis.judged:
        return (Word("not judged", "faint"),)
    said = tuple(
        Word(f"{mode}{MARKS[verdict]} {note}".strip(), mode if verdict is Verdict.HOLDS else "faint")
        for mode, verdict, note in diagnosis.remarks()
    )
    return said or (Word("none", "good"),)


def modes(diagnosis: Diagnosis) -> str:
    """Failure modes on one line."""
    return ", ".join(word.text for word in mode_words(diagnosis))


def verdict(diagnosis: Diagnosis) -> str:
    """A verdict in words, as in a sentence."""
    if not diagnosis.judged:
        return "not judged: a figure or a reference model is missing"
    said = [
        f"{mode} ({_NOTES[note]})" if note else mode
        for mode, verdict, note in diagnosis.remarks()
        if verdict is Verdict.HOLDS
    ]
    said += [f"perhaps {mode}" for mode in diagnosis.modes(Verdict.OPEN)]
    absent = [f"{mode} not measured" for mode in diagnosis.not_measured]
    number = ("three", "four")[RECOVERABLE in diagnosis.verdicts]
    nothing = "no failure mode is shown" if absent else f"none of the {number} failure modes"
    return ", ".join([*(said or [nothing]), *absent])
