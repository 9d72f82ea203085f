"""What long work tells, and to whom; the command line decides how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Listens to a study."""

    def building(self, stage: str, fraction: float) -> None:
        """The benchmark is being built or opened: what is done, and how far the whole is, from 0 to 1."""

    def plan(self, total: int) -> None:
        """So many pieces of work (runs to make, checkpoints to score, attacks) lie ahead."""

    def begin(self, label: str, activity: str) -> None:
        """A piece of work begins."""

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        """Inside the current piece: steps or items done, and the loss's terms."""

    def end(self, note: str) -> None:
        """The current piece has ended, and how."""

    def elsewhere(self, note: str) -> None:
        """A piece of work has ended in another process."""

    def say(self, text: str) -> None:
        """Something people should know."""


class Silent:
    """A reporter that keeps everything to itself."""

    def building(self, stage: str, fraction: float) -> None: ...
    def plan(self, total: int) -> None: ...
    def begin(self, label: str, activity: str) -> None: ...
    def step(self, done: int, of: int, values: Mapping[str, float]) -> None: ...
    def end(self, note: str) -> None: ...
    def elsewhere(self, note: str) -> None: ...
    def say(self, text: str) -> None: ...
