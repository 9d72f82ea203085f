"""One run, made in a process of its own: tried once more if that dies, and given up when it has died twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from torch import nn

from salmu_core.contract.progress import OnScalar
from salmu_core.run.reporter import Reporter
from salmu_core.run.runner import Outcome
from salmu_core.store.attempts import Attempts
from salmu_core.store.records import Ledger
from salmu_core.study.apart import Cell, Make, demolish
from salmu_core.study.limits import Limits
from salmu_core.study.warden import DiedError, RunProcess

#: Seconds in which whoever ends all processes of a study ends this one too.
_SETTLES = 0.5


class Making:
    """A run being made; the first attempt begins at once, unless it is known that there is no use in it.

    Args:
        opened: Opens what the run needs, in its process; returns what makes it.
        cell: What the process has.
        limits: What it may take.
        method: How it is started.
        attempts: Those that were made before.
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
        self._process = self._begin()

    def outcome(self, original: nn.Module, label: str, reporter: Reporter, on_scalar: OnScalar) -> Outcome:
        """What comes of it.

        Args:
            original: What the run begins with.
            label: What the run is called.
            reporter: Is told how far it is, what it prints, and of attempts that failed.
            on_scalar: Is told of every scalar, of those too.

        Raises:
            MachineError: There is no result, and the method is not to blame.
        """
        while self._process is not None:
            try:
                return self._process.outcome(original, self._cell.owner, reporter, on_scalar)
            except DiedError as error:
                self._heed(str(error))
                self._process = self._begin()
                again = "; it is tried once more" if self._process else ""
                reporter.say(f"{label}: its process {error}{again}.")
            except BaseException:
                self._attempts.withdraw()
                raise
        return Outcome(original, "died", self._attempts.verdict(), Ledger(), (), {})

    def _heed(self, death: str) -> None:
        """Note a death, unless it turns out that everything is being stopped, and the run was only the first to be."""
        try:
            time.sleep(_SETTLES)
        except BaseException:
            self._attempts.withdraw()
            raise
        self._attempts.died(death)

    def settle(self) -> None:
        """Take away what was kept for the next attempt: the run has its record."""
        self._attempts.forget()
        demolish(self._cell.scratch)

    def _begin(self) -> RunProcess | None:
        if self._attempts.verdict():
            return None
        self._cell.furnish(self._attempts.fresh)
        self._attempts.begin()
        return RunProcess(self._opened, self._cell, self._limits, self._method, self._adopts)
