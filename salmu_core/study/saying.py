"""Reporters of processes that nobody watches but another process, or whoever reads standard error."""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from salmu_core.run.reporter import Reporter
from salmu_core.show.escape import visible

#: Characters of what is said, at most: whoever listens takes no more at a time.
_LINE = 1 << 16


class Aside(Reporter):
    """One that says what people should know on standard error, and nothing else."""

    def say(self, text: str) -> None:
        print(visible(text), file=sys.stderr, flush=True)


class Aloud(Reporter):
    """One that says what people should know on standard output, which leads to another process."""

    def say(self, text: str) -> None:
        print(text, flush=True)


class Telling(Reporter, ABC):
    """One that tells somebody elsewhere, by lines of JSON: what is told, and its words. Its kinds know the way.

    Attributes:
        every: Seconds between two steps that are told, at least.
    """

    every = 0.1
    _told = 0.0

    @abstractmethod
    def send(self, line: bytes) -> None:
        """Bring a line there."""

    def tell(self, name: str, *words: Any) -> None:
        """Say something."""
        self.send(json.dumps([name, *words]).encode())

    def building(self, stage: str, fraction: float) -> None:
        if self._is_due(fraction == 1):
            self.tell("building", stage, fraction)

    def at(self, place: str) -> None:
        self.tell("at", place)

    def plan(self, total: int) -> None:
        self.tell("plan", total)

    def begin(self, label: str, activity: str) -> None:
        self.tell("begin", label, activity)

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        if self._is_due(done == of):
            self.tell("step", done, of, {name: float(value) for name, value in values.items()})

    def end(self, note: str) -> None:
        self.tell("end", note)

    def passed(self, note: str) -> None:
        self.tell("passed", note)

    def say(self, text: str) -> None:
        self.tell("say", text[:_LINE])

    def _is_due(self, last: bool) -> bool:
        due = last or time.monotonic() - self._told > self.every
        if due:
            self._told = time.monotonic()
        return due
