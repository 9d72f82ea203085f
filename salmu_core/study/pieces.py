"""A study in pieces: each is one process's at a time, and can be told to another process. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from salmu_core.contract.layout import ROLES
from salmu_core.store.attacks import AttackKey
from salmu_core.store.folders import RunKey
from salmu_core.study.plan import Planned
from salmu_core.study.todo import Outstanding

#: In this order: holdouts are opened for the later two, and no method runs in a process that has opened them.
Phase = Literal["unlearning", "scoring", "attacking"]
PHASES: tuple[str, ...] = get_args(Phase)


@dataclass(frozen=True)
class Piece:
    """A run to be made, a checkpoint to be scored, or to be attacked.

    Attributes:
        target: The run, or a reference model's role.
        attacks: Those to be made, where it is attacked.
        verdict: Of a run, why it is not made any more, which is its result; empty if it is to be made.
    """

    phase: Phase
    benchmark: str
    target: RunKey | str
    attacks: tuple[AttackKey, ...] = ()
    verdict: str = ""

    def __str__(self) -> str:
        return f"{self.phase} {self.target.capitalize() if isinstance(self.target, str) else self.target}"

    @property
    def sequence(self) -> tuple[str, RunKey | str]:
        """What the requests of one sequence share, from the first run to the last attack."""
        target = self.target
        return self.benchmark, target if isinstance(target, str) else target.sequence

    def follows(self, other: Piece) -> bool:
        """Whether it goes on from what an earlier one leaves: its run, or one before that in a sequence."""
        return self.sequence == other.sequence and (other.phase == "unlearning" or self.target == other.target)


def pieces_of(benchmark: str, plan: Iterable[Planned], todo: Outstanding) -> Iterator[Piece]:
    """What is to be done on one benchmark, the costliest first of each phase, requests of a sequence in their order."""
    ordered = [planned.key for planned in sorted(plan, key=lambda planned: -planned.key.budget)]
    unmade = {planned.key for planned in todo.runs}
    unscored = (unmade if todo.scores else set()) | {planned.key for planned in todo.checkpoints}
    attacks: dict[RunKey | str, list[AttackKey]] = {}
    for assault in todo.attacks:
        target = assault.target if isinstance(assault.target, str) else assault.target.key
        attacks.setdefault(target, []).append(assault.planned.key)
    yield from (Piece("unlearning", benchmark, key) for key in ordered if key in unmade)
    yield from (Piece("scoring", benchmark, role) for role in todo.references)
    yield from (Piece("scoring", benchmark, key) for key in ordered if key in unscored)
    yield from (Piece("attacking", benchmark, t, tuple(attacks[t])) for t in (*ordered, *ROLES) if t in attacks)


def in_phases(pieces: Iterable[Piece]) -> list[Piece]:
    """Those of all benchmarks: first every run, then everything that is scored, then attacks."""
    return sorted(pieces, key=lambda piece: PHASES.index(piece.phase))


def in_turn(
    pieces: Iterable[Piece], plans: Sequence[Iterable[Planned]], index: int, count: int, own: bool = False
) -> list[Piece]:
    """All pieces in the order in which one of ``count`` processes tries them, where no one hands them out.

    Of each phase it begins with its own, as many of each cost as everybody's, requests of one sequence together, and
    then does what others have left: a piece that somebody is at is passed over. Whose is whose goes by a run's place in
    the whole plan: what is finished already may look different to each.

    Args:
        own: Leave the others' to them.
    """
    place: dict[tuple[str, RunKey | str], int] = {}
    for plan in plans:
        keys = [planned.key for planned in sorted(plan, key=lambda planned: -planned.key.budget)]
        place |= {(key.benchmark, key): i for i, key in enumerate(dict.fromkeys(key.sequence for key in keys))}

    def distance(piece: Piece) -> int:
        target = piece.target
        owner = count - 1 - ROLES.index(target) if isinstance(target, str) else place[piece.sequence]
        return (owner - index) % count

    mine = (piece for piece in pieces if not own or distance(piece) == 0)
    return sorted(mine, key=lambda piece: (PHASES.index(piece.phase), distance(piece)))


def parallel(pieces: Iterable[Piece]) -> int:
    """Number of pieces that can be done at the same time, but for what is done to reference models."""
    return len({piece.sequence for piece in pieces if isinstance(piece.target, RunKey)})
