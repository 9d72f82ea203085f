"""Attempts to make a run: noted before each begins, so that one which ends its process is known of afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from salmu_core.disk.record import Record
from salmu_core.errors import SalmuError
from salmu_core.store.folders import read_record, write_record
from salmu_core.store.scratch import at_work

#: So often the process of a run may die, it may take more than it may, and so often in a row the whole study may end
#: with it, before that is its result.
DEATHS, EXCESSES, UNKNOWN = 3, 2, 4


class Attempt(Record):
    """One."""

    death: str | None = None
    """How its process ended without a result; None while nobody knows."""
    excess: bool = False
    """Whether it was ended because it took more than it may: another one would take its time again."""
    by: str = ""
    """Name of its scratch folder."""


class AttemptsRecord(Record):
    """All of one run."""

    code_hash: str
    """Of the method's code: what another one did says nothing of it."""
    attempts: tuple[Attempt, ...] = ()


class Attempts:
    """Those of one run, as they stand on disk.

    Args:
        code_hash: Of the method's code.
        scratch: The folder of the next one, beside those of others.

    Attributes:
        fresh: Whether none of this code is known, so that nothing there is of use to the next.
    """

    def __init__(self, path: Path, code_hash: str, scratch: Path) -> None:
        self._path, self._scratch = path, scratch
        known: AttemptsRecord | None = None
        with suppress(SalmuError):  # what can't be read counts as none
            known = read_record(path, AttemptsRecord)
        self._open = False
        self.fresh = known is None or known.code_hash != code_hash
        self._record = known if known is not None and not self.fresh else AttemptsRecord(code_hash=code_hash)

    def verdict(self) -> str:
        """Why there is no use in another one; empty if there is."""
        attempts = self._record.attempts
        deaths = [attempt.death for attempt in attempts if attempt.death is not None]
        if len(deaths) >= DEATHS or sum(attempt.excess for attempt in attempts) >= EXCESSES:
            times = "twice" if len(deaths) == EXCESSES else f"{len(deaths)} times"
            same = len({*deaths}) == 1
            return f"its process {times} {deaths[0]}" if same else f"its process {', then '.join(deaths)}"
        unknown = [*takewhile(lambda attempt: attempt.death is None, reversed(attempts))]
        if sum(not (one.by and at_work(self._scratch.with_name(one.by))) for one in unknown) >= UNKNOWN:
            return f"the whole study ended {UNKNOWN} times in a row while it was made, and left no word why"
        return ""

    def begin(self) -> None:
        """Note that one begins."""
        self.fresh = False
        self._write((*self._record.attempts, Attempt(by=self._scratch.name)))
        self._open = True

    def died(self, how: str, excess: bool = False) -> None:
        """Note how the last one's process ended, and whether it took more than it may."""
        self._open = False
        *others, last = self._record.attempts
        self._write((*others, last.model_copy(update={"death": how, "excess": excess})))

    def withdraw(self) -> None:
        """One that goes on says nothing: somebody stopped it, or the machine failed."""
        if not self._open:
            return
        self._open = False
        try:
            self._write(self._record.attempts[:-1])
        except OSError:  # a full disk may take no word, and makes no verdict
            self.forget()

    def forget(self) -> None:
        """None is of use any more: the run has its record."""
        self._path.unlink(missing_ok=True)

    def _write(self, attempts: Sequence[Attempt]) -> None:
        self._record = AttemptsRecord(code_hash=self._record.code_hash, attempts=tuple(attempts))
        write_record(self._path, self._record)
