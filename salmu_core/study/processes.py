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
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from salmu_core.errors import MachineError, SalmuError
from salmu_core.machine import usable_cores
from salmu_core.run.reporter import Reporter
from salmu_core.study.failures import Failure, Failures
from salmu_core.study.pieces import PHASES, Piece
from salmu_core.study.relay import Do, attend
from salmu_core.study.warden import PATIENCE as RUN_PATIENCE
from salmu_core.study.warden import Foundlings, ending

#: Seconds a process gets to stop tidily, when it has ended the run that it has started.
PATIENCE = RUN_PATIENCE + 5
#: What a process may tell of its work.
_TOLD = ("building", "plan", "begin", "step", "end", "say")
#: Bytes of it at a time.
_MOST = 1 << 20
#: Processes that may die of a piece before it is left.
DEATHS = 2
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


def forks(device: str) -> bool:
    """Whether processes that compute on a kind of device can be forked from one that has imported everything."""
    return device == "cpu" and sys.platform == "linux"


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

    process: BaseProcess
    connection: Connection
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
        begin: Called in each process; returns what does a piece there, and tells the reporter that it is given.
        method: How processes are started; unless they are forked, ``begin`` must be picklable.
        once: Whether a process makes one run only: whatever else it does, no other is forked from it then.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        begin: Callable[[Reporter], Do],
        reporter: Reporter,
        method: Literal["fork", "spawn"],
        once: bool = False,
    ) -> None:
        self._queue = list(pieces)
        self._begin = begin
        self._context: Any = multiprocessing.get_context(method)
        self._reporter = reporter
        self._failures = Failures(reporter)
        self._children: list[_Child] = []
        self._once = once
        self._deaths: Counter[Piece | None] = Counter()

    def work(self, count: int) -> None:
        """Have everything done by so many processes.

        Raises:
            SalmuError: One of them met an error that stops the study, or two died before they had begun.
            MachineError: Nothing can be written any more.
        """
        if self._context.get_start_method() == "spawn":
            resource_tracker.ensure_running()  # it is none of those that are ended in the end
        foundlings = Foundlings()
        try:
            for _ in range(count):
                self._start(self._reporter.beside())
            while self._children:
                wait([child.connection for child in self._children], _TICK)
                for child in tuple(self._children):
                    self._hear(child)
                for child in self._children:
                    if child.waits:
                        self._hand(child)
        finally:
            self._stop()
            foundlings.end()

    def _start(self, reporter: Reporter) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=attend, args=(self._begin, theirs, PATIENCE))
        process.start()
        theirs.close()
        self._children.append(_Child(process, ours, reporter))

    def _hear(self, child: _Child) -> None:
        """All that a process has said, or that it has ended."""
        ended = child.process.exitcode is not None
        try:
            while child.connection.poll():
                name, *words = json.loads(child.connection.recv_bytes(_MOST))
                if name == "failed":
                    raise _failure(*words)
                if name == "done" and child.piece is not None:
                    self._failures.heed(child.piece, Failure(*words) if words else None)
                elif name == "next":
                    child.piece, child.waits = None, True
                elif name in _TOLD:
                    getattr(child.reporter, name)(*words)
        except (EOFError, ConnectionError):
            child.process.join(PATIENCE)
            ended = True
        except (OSError, ValueError, TypeError):  # it tells what makes no sense
            child.process.kill()
            child.process.join()
            ended = True
        if ended:
            self._bury(child)

    def _hand(self, child: _Child) -> None:
        """Give a process the next piece that is ready; none once there is nothing left to wait for."""
        if self._once and child.made and any(piece.phase == "unlearning" for piece in self._queue):
            child.waits, child.dismissed = False, True
            with suppress(OSError):
                child.connection.send(None)
            self._start(child.reporter)
            return
        piece = next((piece for piece in self._queue if self._ready(piece, child)), None)
        if piece is None and self._queue:
            return
        child.piece, child.waits, child.dismissed = piece, False, piece is None
        if piece is not None:
            self._queue.remove(piece)
            child.phase, child.made = PHASES.index(piece.phase), child.made or piece.phase == "unlearning"
        with suppress(OSError):  # where it has just ended, which is noticed in a moment
            child.connection.send(piece)

    def _ready(self, piece: Piece, child: _Child) -> bool:
        if PHASES.index(piece.phase) < child.phase:
            return False
        before = [other.piece for other in self._children if other.piece] + self._queue[: self._queue.index(piece)]
        return not any(map(piece.follows, before))

    def _bury(self, child: _Child) -> None:
        """Let another process do what one was at when it died."""
        self._children.remove(child)
        child.connection.close()
        if child.dismissed:
            return
        how, piece = ending(child.process.exitcode), child.piece
        what = f" while {piece}" if piece else ""
        self._deaths[piece] += 1
        if self._deaths[piece] < DEATHS:
            self._reporter.say(f"A process {how}{what}; another one begins that again.")
            self._queue[:0] = [piece] if piece else []
        elif piece is None:
            raise MachineError(f"A process {how} before it had begun with anything, {DEATHS} times.")
        else:
            self._failures.heed(piece, Failure(f"a process {how}, {DEATHS} times", unwritable=False))
        self._start(child.reporter)

    def _stop(self) -> None:
        for child in self._children:
            child.process.terminate()
        deadline = time.monotonic() + PATIENCE
        for child in self._children:
            child.process.join(max(0.0, deadline - time.monotonic()))
            child.process.kill()
            child.process.join()
            child.connection.close()


def _failure(text: str, exit_code: int, trace: str) -> SalmuError:
    error = SalmuError(text)
    error.exit_code = exit_code
    error.add_note(trace)
    return error
