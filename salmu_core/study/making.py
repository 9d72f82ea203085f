"""One run, made in a process of its own: tried again if that dies, and given up when it has died three times."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from torch import nn

from salmu_core.contract.progress import OnScalar
from salmu_core.disk.cache import DAMAGED
from salmu_core.run.outcome import Outcome
from salmu_core.run.reporter import Reporter
from salmu_core.run.saves import SAVES
from salmu_core.store.attempts import Attempts
from salmu_core.store.records import Ledger
from salmu_core.store.scratch import hand_on
from salmu_core.study.apart import CACHE, Cell, Make
from salmu_core.study.limits import Limits
from salmu_core.study.warden import DiedError, RunProcess

#: Seconds in which whoever ends all processes of a study ends this one too.
_SETTLES = 0.5


class Making:
    """A run being made; the first attempt begins at once, unless it is known that there is no use in it.

    A context, to be left when the run has its record: where it is left by an error, somebody stopped the run or the
    machine failed, so nothing of it goes on, and the attempt says nothing of the method.

    Args:
        opened: Opens what the run needs, in its process; returns what makes it.
        method: How it is started.
        adopts: Whether what the run leaves behind is this process's to end.
    """

    def __init__(
        self,
        opened: Callable[[], Make],
        cell: Cell,
        limits: Limits,
        method: Literal["fork", "spawn"],
        attempts: Attempts,
        adopts: bool = True,
    ) -> None:
        self._opened, self._cell, self._limits, self._method, self._adopts = opened, cell, limits, method, adopts
        self._attempts = attempts
        self._process: RunProcess | None = None
        self._process = self._begin()

    def outcome(self, original: nn.Module, label: str, reporter: Reporter, on_scalar: OnScalar) -> Outcome:
        """What comes of it.

        Args:
            reporter: Is told how far it is, what it prints, and of attempts that failed.
            on_scalar: Is told of every scalar, of those too.

        Raises:
            MachineError: There is no result, and the method is not to blame.
        """
        while self._process is not None:
            try:
                return self._process.outcome(original, self._cell.owner, reporter, on_scalar)
            except DiedError as error:
                time.sleep(_SETTLES)  # if all is being stopped, and the run was only the first to be, this is as well
                # Before anything is written, for which it may have left no room; and it has had its time.
                self._cell.clear(fresh=error.excess)
                self._attempts.died(str(error), error.excess)
                self._process = self._begin()
                if self._process:
                    reporter.say(f"{label}: its process {error}; it is tried again.")
        return Outcome(original, "died", self._attempts.verdict(), Ledger(), (), {})

    @property
    def damaged(self) -> bool:
        """Whether it has found something in the cache to be damaged."""
        return (self._cell.scratch / CACHE / DAMAGED).exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:  # it has its record: what was kept for the next attempt is of no use
            self._attempts.forget()
            self._cell.leave()
        else:
            self._stop()

    def _begin(self) -> RunProcess | None:
        if self._attempts.verdict():
            return None
        self._cell.furnish(self._attempts.fresh)
        self._attempts.begin()
        try:
            return RunProcess(self._opened, self._cell, self._limits, self._method, self._adopts)
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        """Leave nothing but what the next attempt can go on from."""
        if self._process is not None:
            self._process.end()
        with suppress(OSError):  # it may be the disk that failed, and says so
            self._cell.clear()
        hand_on(self._cell.scratch, SAVES)
        self._attempts.withdraw()
