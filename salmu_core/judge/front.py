"""The front of a trade-off, with ties as ties. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum


class Front(StrEnum):
    """Where a line stands to the front of its budget."""

    ON = "on"
    """No other measures at least as well on every aim, and better on one."""
    TIED = "tied"
    """Another does, and is not shown to be better on any."""
    OFF = "off"
    """Another does, and is shown to be better on some aim."""


def front(values: Sequence[Sequence[float]], better: Sequence[Collection[tuple[int, int]]]) -> list[Front]:
    """Where each of several lines stands.

    Args:
        values: Aim -> value of each line, more is better.
        better: Aim -> pairs of lines of which the first is shown to be better.
    """

    def outdoes(i: int, j: int) -> bool:
        return all(aim[i] >= aim[j] for aim in values) and any(aim[i] > aim[j] for aim in values)

    fronts = []
    for j in range(len(values[0]) if values else 0):
        ahead = [i for i in range(len(values[0])) if outdoes(i, j)]
        beaten = any((i, j) in pairs for i in ahead for pairs in better)
        fronts.append(Front.OFF if beaten else Front.TIED if ahead else Front.ON)
    return fronts
