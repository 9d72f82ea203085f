"""How accelerate's tracker classes are spoken to, one by one.

An `Accelerator` opens one run, in its main process; in a study every process makes many. What differs among the
trackers is how a run is opened, found again and closed, what they would ask or print, and whether a metric may be a
text.
"""

from __future__ import annotations

import importlib.util
import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salmu_core.contract.tracker import End, Facts, Journal, Settings, Tracker
from salmu_core.errors import UsageError


class AcceleratedJournal(Journal):
    """A run in one of accelerate's trackers.

    Args:
        tracker: Accelerate's, begun.
    """

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker

    def log(self, values: Mapping[str, float], step: int | None) -> None:
        """See `Journal`."""
        self.tracker.log(dict(values), step=step)

    def explain(self, texts: Mapping[str, str]) -> None:
        """See `Journal`."""
        self.tracker.log(dict(texts))

    def close(self, end: End) -> None:
        """See `Journal`."""
        self.tracker.finish()


class Accelerated(Tracker):
    """A tracker that accelerate has a class for."""

    #: Accelerate's name for it, and the option's.
    name: str
    #: Packages it needs, any one of them.
    packages: tuple[str, ...]
    #: Environment variables that are set unless the user has set them.
    environment: Mapping[str, str] = {}
    #: How people get to see what was tracked.
    place: str

    def check(self) -> None:
        """Its package is there, and it will not ask anybody anything."""
        if not any(importlib.util.find_spec(package) for package in self.packages):
            raise UsageError(f"--tracker {self.name}: the package is not installed: pip install {self.name}")
        self.settle()
        self.check_settings()

    def check_settings(self) -> None:
        """Look at what it reads from the environment.

        Raises:
            UsageError: With these it can't be used.
        """

    def settle(self) -> None:
        """Set what it reads from the environment; before it is imported."""
        for variable, value in self.environment.items():
            os.environ.setdefault(variable, value)

    def open(self, facts: Facts, folder: Path, again: bool) -> Journal:
        """See `Tracker`."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        self.settle()
        return self.begin(LOGGER_TYPE_TO_CLASS[self.name], facts, folder, again)

    @abstractmethod
    def begin(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Journal:
        """As `open`, with accelerate's class."""

    def hint(self, folder: Path, project: str) -> str:
        """See `Tracker`."""
        return self.place.format(folder=folder, project=project)


def begun(tracker: Any, config: Settings | None) -> Any:
    """Start one of accelerate's trackers, and tell it a run's settings, if they are news to it."""
    # They keep still outside the main process; here each process has runs of its own.
    tracker.main_process_only = False
    tracker.start()
    if config is not None:
        tracker.store_init_configuration(config)
    return tracker
