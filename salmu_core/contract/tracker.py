"""What an experiment tracker is to SALMU: it opens a journal for a run, and writes down what it is told.

A distribution brings one by an entry point of the group ``salmu.trackers``, which names a class of `Tracker` that takes
no arguments; `salmu run --tracker NAME` finds it there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: Settings of a run, in types that any tracker takes.
Settings = dict[str, str | int | float | bool]
#: How a run ended.
End = Literal["finished", "failed", "stopped"]


@dataclass(frozen=True)
class Facts:
    """What a tracker is told of a run when it opens it.

    Attributes:
        project: Of all worlds of a benchmark.
        group: The method.
        name: For people.
        id: Tells it from all others, also from the same run made again; can be reckoned from its record.
        path: Of the run's folder, inside the results folder.
        config: Its settings, and what else tells it from other runs.
    """

    project: str
    group: str
    name: str
    id: str
    path: Path
    config: Settings


class Journal(ABC):
    """One run, open in one tracker."""

    @abstractmethod
    def log(self, values: Mapping[str, float], step: int | None) -> None:
        """Write down numbers; without a step, they are of the run as a whole."""

    @abstractmethod
    def explain(self, texts: Mapping[str, str]) -> None:
        """Write down texts about the run."""

    @abstractmethod
    def close(self, end: End) -> None:
        """Close it; nothing follows, unless the tracker opens the run again."""


class Tracker(ABC):
    """An experiment tracker.

    It is a guest: whatever it raises costs its own record and nothing else, and what it draws from global generators is
    undone.
    """

    def check(self) -> None:  # noqa: B027 - most have nothing to find out
        """Find out before anything is begun whether it can be used.

        Raises:
            UsageError: It can't.
        """

    @abstractmethod
    def open(self, facts: Facts, folder: Path, again: bool) -> Journal:
        """Open a run, or go on with one that was closed, if there is one.

        Args:
            facts: What the run is.
            folder: Where the tracker may keep files; in the results folder, its own.
            again: Whether to go on.
        """

    @abstractmethod
    def hint(self, folder: Path, project: str) -> str:
        """How people get to see what was tracked, in a few words or as a command.

        Args:
            folder: As in `open`.
            project: As in `Facts`.
        """
