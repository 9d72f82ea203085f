"""The processes of one study: how many there are, and which piece of it is whose.

The one that was started does no piece itself: it hands them out, and tells what it hears of them. On a CPU under Linux
the others are forked from it, once it has imported torch and opened what methods may see; elsewhere, and on an
accelerator, which can't be used after a fork, each is a fresh interpreter. For each run they start one more, in which
the method runs, and nothing else ever does; what scores and attacks is forked from where no method ran. Runs are small
next to a core's caches, so two processes of one thread each finish sooner than one process of two threads, and a
machine that is busy otherwise does them far less harm.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

from salmu_core.errors import MachineError, SalmuError
from salmu_core.machine import usable_cores
from salmu_core.run.reporter import Reporter
from salmu_core.study.failures import Failure, Failures
from salmu_core.study.member import PATIENCE, Member
from salmu_core.study.outlook import Outlook
from salmu_core.study.pieces import PHASES, Piece
from salmu_core.study.warden import Foundlings

#: What a process may tell of its work.
_TOLD = ("at", "building", "plan", "begin", "step", "end", "passed", "say")
#: Bytes of it at a time.
_MOST = 1 << 20
#: Processes that may die of a piece before it is left; and that may be lost with their machines meanwhile.
DEATHS, LOSSES = 3, 10
#: Processes a study on a CPU is spread over unless more are asked for.
MAX_PROCESSES = 4
#: Seconds between two looks at processes that say nothing.
_TICK = 1.0


def spread(asked: int | None, device: str, pieces: int) -> int:
    """How many processes to spread pieces of work over: one for an accelerator, else the cores there are.

    Args:
        asked: How many were asked for, if that was said.
        device: The kind of device they compute on.
        pieces: How many can be done at the same time.
    """
    default = 1 if device != "cpu" else min(usable_cores(), MAX_PROCESSES)
    return max(1, min(asked or default, pieces))


@dataclass(eq=False)
class _Child:
    """One process, as the one that hands out sees it.

    Attributes:
        reporter: Who is told what it says.
        piece: What it is at.
        waits: Whether it wants another.
        phase: Of its pieces, the last, by number: one that has opened holdouts makes no run any more, and one where an
            attack ran neither makes nor judges one.
        made: Whether it has made a run.
        dismissed: Whether it was told that there is nothing more to do.
    """

    member: Member
    reporter: Reporter
    piece: Piece | None = None
    waits: bool = False
    phase: int = 0
    made: bool = False
    dismissed: bool = False


class Crew:
    """Processes that do pieces of work, each the next one that is ready; one that dies is replaced.

    Args:
        pieces: The work, in the order in which it is handed out.
        start: Starts one more process.
        once: Whether a process makes one run only: whatever else it does, no other is forked from it then.
    """

    def __init__(
        self, pieces: Sequence[Piece], start: Callable[[], Member], reporter: Reporter, once: bool = False
    ) -> None:
        self._queue = list(pieces)
        self._begin = start
        self._reporter = reporter
        self._failures = Failures(reporter)
        self._children: list[_Child] = []
        self._once = once
        self._deaths: Counter[Piece | None] = Counter()
        self._losses: Counter[Piece | None] = Counter()
        self._verdicts: dict[Piece, str] = {}
        self._outlook = Outlook()

    def work(self, count: int) -> None:
        """Have everything done by so many processes.

        Raises:
            SalmuError: One of them met an error that stops the study, or several died before they had begun.
            MachineError: Nothing can be written any more.
        """
        foundlings = Foundlings()
        try:
            for _ in range(count):
                self._start(self._reporter.beside())
            while self._children:
                wait([child.member.connection for child in self._children], _TICK)
                for child in tuple(self._children):
                    self._hear(child)
                for child in self._children:
                    if child.waits:
                        self._hand(child)
        finally:
            self._stop()
            foundlings.end()

    def _start(self, reporter: Reporter) -> None:
        self._children.append(_Child(self._begin(), reporter))

    def _hear(self, child: _Child) -> None:
        """All that a process has said, or that it has ended."""
        member = child.member
        ended = member.ending() is not None
        try:
            while member.connection.poll():
                name, *words = json.loads(member.connection.recv_bytes(_MOST))
                if name == "failed":
                    raise _failure(*words)
                if name == "done" and child.piece is not None:
                    failure = Failure(*words) if words else None
                    self._outlook.end(child.piece, failure is None)
                    self._failures.heed(child.piece, failure)
                    child.piece = None
                    self._tell()
                elif name == "next":
                    child.piece, child.waits = None, True
                elif name in _TOLD:
                    getattr(child.reporter, name)(*words)
        except (EOFError, ConnectionError):
            member.wait(PATIENCE)
            ended = True
        except (OSError, ValueError, TypeError):  # it tells what makes no sense
            member.kill()
            ended = True
        if ended:
            self._bury(child)

    def _hand(self, child: _Child) -> None:
        """Give a process the next piece that is ready; none once there is nothing left to wait for."""
        if self._once and child.made and any(piece.phase == "unlearning" for piece in self._queue):
            child.waits, child.dismissed = False, True
            with suppress(OSError):
                child.member.connection.send(None)
            self._start(child.reporter)
            return
        piece = next((piece for piece in self._queue if self._ready(piece, child)), None)
        if piece is None and self._queue:
            return
        child.piece, child.waits, child.dismissed = piece, False, piece is None
        handed = piece
        if piece is not None:
            self._queue.remove(piece)
            child.phase, child.made = PHASES.index(piece.phase), child.made or piece.phase == "unlearning"
            handed = replace(piece, verdict=self._verdicts.pop(piece, ""))
            self._outlook.begin(piece)
            self._tell()
        with suppress(OSError):  # where it has just ended, which is noticed in a moment
            child.member.connection.send(handed)

    def _ready(self, piece: Piece, child: _Child) -> bool:
        if PHASES.index(piece.phase) < child.phase:
            return False
        before = [other.piece for other in self._children if other.piece] + self._queue[: self._queue.index(piece)]
        return not any(map(piece.follows, before))

    def _tell(self) -> None:
        """How it stands."""
        running = sum(child.piece is not None for child in self._children)
        self._reporter.outlook(len(self._queue), running, self._outlook.left(self._queue, len(self._children)))

    def _bury(self, child: _Child) -> None:
        """Let another process do what one was at when it died."""
        self._children.remove(child)
        child.member.connection.close()
        if child.dismissed:
            return
        member, piece = child.member, child.piece
        how = member.ending() or "ended"
        what = f" while {piece}" if piece else ""
        if piece is not None:
            self._outlook.end(piece, done=False)
        counted, most = (self._losses, LOSSES) if member.lost else (self._deaths, DEATHS)
        counted[piece] += 1
        if piece is not None and piece.phase == "unlearning" and self._deaths[piece] == DEATHS and not member.lost:
            self._verdicts[piece] = f"{DEATHS} processes ended while they made it; the last one {how}"
        if counted[piece] < most or piece in self._verdicts:
            self._reporter.say(f"A process {how}{what}; another one begins that again.")
            self._queue[:0] = [piece] if piece else []
        elif piece is None:
            raise MachineError(f"A process {how} before it had begun with anything, {most} times.")
        else:
            self._failures.heed(piece, Failure(f"a process {how}, {counted[piece]} times", unwritable=False))
        self._start(child.reporter)

    def _stop(self) -> None:
        for child in self._children:
            child.member.stop()
        deadline = time.monotonic() + PATIENCE
        for child in self._children:
            child.member.wait(max(0.0, deadline - time.monotonic()))
            child.member.kill()
            child.member.connection.close()


def _failure(text: str, exit_code: int, trace: str) -> SalmuError:
    error = SalmuError(text)
    error.exit_code = exit_code
    error.add_note(trace)
    return error
