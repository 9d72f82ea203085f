"""What a run began with and what it was asked to forget, as its record says it."""

from __future__ import annotations

import os
import shlex
from itertools import pairwise
from typing import Literal

from salmu_core.disk.record import Record


class RequestRef(Record):
    """Which part of the forget set was to be forgotten."""

    number: int = 1
    """Of the request in its sequence, from 1."""
    count: int = 1
    """Requests in the sequence; 1 for the forget set as a whole."""
    people: int = 0
    """People it is about."""
    rows: int = 0
    """Their forget rows."""
    rows_hash: str = ""
    """SHA-256 over the file names of those rows, in order."""

    @property
    def digest(self) -> str:
        """Tells parts apart in paths; empty for the whole."""
        return f"{self.number}of{self.count}-{self.rows_hash[:8]}" if self.count > 1 else ""

    @property
    def label(self) -> str:
        """For people; empty for the whole."""
        return f"request {self.number} of {self.count}" if self.count > 1 else ""


#: The forget set as a whole, of which a plan need not know more.
WHOLE = RequestRef()


class Ancestor(Record):
    """A run whose checkpoint another one began with."""

    method: str
    config_hash: str
    budget: float
    seed: int
    folder: str
    """Relative to the results folder of the run that began there."""
    request: RequestRef
    checkpoint_hash: str

    @property
    def label(self) -> str:
        """In a few words."""
        run = f"{self.method} b{self.budget:g} s{self.seed} ({self.config_hash[:6]})"
        return ", ".join(filter(None, [run, self.request.label]))


class StartRef(Record):
    """What a run began with."""

    checkpoint_hash: str = ""
    """SHA-256 of its weights; empty where the run never began."""
    role: Literal["compromised", "run"] = "compromised"
    """Compromised itself, or the checkpoint of the last of `runs`."""
    runs: tuple[Ancestor, ...] = ()
    """What was done to Compromised before, oldest first; of a run that never began, before its sequence."""


def given(command: str, option: str) -> list[str]:
    """What the command that made a run gave with an option; ``~`` in it is the user's home, as a shell has it."""
    try:
        words = shlex.split(command)
    except ValueError:  # no command of ours
        return []
    return [os.path.expanduser(value) for word, value in pairwise(words) if word == option]  # noqa: PTH111 - some are no paths
