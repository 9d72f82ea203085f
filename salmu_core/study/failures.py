"""Pieces of a study that the machine does not let be done: told, left for the next time, and the others go on."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from typing import NamedTuple

from salmu_core.errors import MachineError, SalmuError, UsageError, described, is_machines
from salmu_core.run.reporter import Reporter
from salmu_core.study.pieces import Piece

#: Results in a row that can't be written before the rest of a study is left.
IN_A_ROW = 3
_FULL = re.compile(r"No space left|quota exceeded|Read-only file system|Input/output error", re.IGNORECASE)


class Failure(NamedTuple):
    """Why a piece was not done."""

    reason: str
    """In a sentence."""
    unwritable: bool
    """Whether it is that the disk takes nothing: other pieces will meet the same."""


def attempt(do: Callable[[Piece], None], piece: Piece) -> Failure | None:
    """Do a piece; returns why it was not done, if it was not.

    Raises:
        UsageError: The whole study is asked for wrongly.
    """
    try:
        do(piece)
    except UsageError:
        raise
    except Exception as error:
        reason = described(error)
        if os.environ.get("SALMU_DEBUG"):
            reason = traceback.format_exc()
        elif not (isinstance(error, SalmuError) or is_machines(error)):  # a mistake of our own code
            reason += " (SALMU_DEBUG=1 shows where)"
        # What a plugin's code met is a MachineError, and says nothing of where results lie.
        return Failure(reason, not isinstance(error, MachineError) and bool(_FULL.search(described(error))))
    return None


class Failures:
    """What becomes of pieces that were attempted, whichever process did."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._row = 0

    def heed(self, piece: Piece, failure: Failure | None) -> None:
        """Tell why a piece was not done.

        Raises:
            MachineError: Nothing can be written any more.
        """
        if failure is None:
            self._row = 0
            return
        self._reporter.end(f"{piece}: not done: {failure.reason}. Nothing is kept of it, the same command tries again.")
        self._row += failure.unwritable
        if self._row >= IN_A_ROW:
            raise MachineError(
                f"{self._row} results in a row can't be written: {failure.reason}. Make room; finished runs are kept, "
                "and the same command goes on from here."
            )
