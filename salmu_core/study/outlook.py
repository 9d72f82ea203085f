"""When a study will be done, from what its pieces have taken so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

from salmu_core.store.folders import RunKey
from salmu_core.study.pieces import PHASES, Piece


class Outlook:
    """Watches the pieces of one study.

    A run is reckoned by its method and budget; a piece whose like was never done, by all others of its phase.
    """

    def __init__(self) -> None:
        self._begun: dict[Piece, float] = {}
        self._rates: dict[tuple[str, str], list[float]] = defaultdict(list)

    def begin(self, piece: Piece) -> None:
        """Somebody begins with it."""
        self._begun[piece] = time.monotonic()

    def end(self, piece: Piece, done: bool) -> None:
        """It is done, or will have to be done again."""
        seconds = time.monotonic() - self._begun.pop(piece, time.monotonic())
        if done:
            for kind in _kinds(piece):
                self._rates[kind].append(seconds / _size(piece))

    def left(self, waiting: Iterable[Piece], processes: int) -> tuple[str, float] | None:
        """Seconds until the last phase that can be foreseen has ended, and which that is; None if none can be.

        Args:
            waiting: Pieces that nobody has begun with.
            processes: At work.
        """
        now, told, total, longest = time.monotonic(), None, 0.0, 0.0
        pieces = [*((piece, now - begun) for piece, begun in self._begun.items()), *((piece, 0.0) for piece in waiting)]
        for phase in PHASES:
            mine = [(piece, spent) for piece, spent in pieces if piece.phase == phase]
            if mine and (phase, "") not in self._rates:
                break
            for piece, spent in mine:
                rest = max(0.0, self._expected(piece) - spent)
                total, longest = total + rest, max(longest, rest)
                told = phase
        return (told, max(total / max(1, processes), longest)) if told else None

    def _expected(self, piece: Piece) -> float:
        rates = next(self._rates[kind] for kind in _kinds(piece) if kind in self._rates)
        return _size(piece) * sum(rates) / len(rates)


def _kinds(piece: Piece) -> tuple[tuple[str, str], tuple[str, str]]:
    """What it is like, the most exact first."""
    name = piece.target.method if isinstance(piece.target, RunKey) else piece.target
    return (piece.phase, name), (piece.phase, "")


def _size(piece: Piece) -> float:
    """What its time goes with."""
    if piece.phase == "unlearning" and isinstance(piece.target, RunKey):
        return piece.target.budget
    return max(1, len(piece.attacks))
