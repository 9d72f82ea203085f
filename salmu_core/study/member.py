"""A process of a crew as the one that hands out pieces sees it, on this machine or, by an engine, on another."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Literal, Protocol

from salmu_core.run.reporter import Reporter
from salmu_core.study.relay import Do, attend
from salmu_core.study.warden import PATIENCE as RUN_PATIENCE
from salmu_core.study.warden import ending

#: Seconds a process gets to stop tidily, when it has ended the run that it has started.
PATIENCE = RUN_PATIENCE + 5


def forks(device: str) -> bool:
    """Whether processes that compute on a kind of device can be forked from one that has imported everything."""
    return device == "cpu" and sys.platform == "linux"


class Member(Protocol):
    """A process at the other end of a connection, which asks for pieces and tells of them: see `study.relay`."""

    @property
    def connection(self) -> Connection:
        """What is said and heard through."""

    @property
    def lost(self) -> bool:
        """Whether it has ended for what no piece can be blamed for: the machine that it ran on is gone."""

    def ending(self) -> str | None:
        """How it has ended, as the end of a sentence; None while it goes on."""

    def stop(self) -> None:
        """Ask it to stop tidily; returns at once."""

    def wait(self, seconds: float) -> None:
        """Until it has ended, but no longer."""

    def kill(self) -> None:
        """End it, whatever it does; when this returns it is gone."""


class Local:
    """A process of this machine.

    Args:
        begin: Called in it; returns what does a piece there, and tells the reporter that it is given.
        method: How it is started; unless it is forked, ``begin`` must be picklable.
    """

    lost = False

    def __init__(self, begin: Callable[[Reporter], Do], method: Literal["fork", "spawn"]) -> None:
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=attend, args=(begin, theirs, PATIENCE))
        self._process.start()
        theirs.close()

    def ending(self) -> str | None:
        code = self._process.exitcode
        return None if code is None else ending(code)

    def stop(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        self._process.join(seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
