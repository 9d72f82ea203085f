"""What one job of a study does, on a machine of the cluster."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission

from salmu_core.errors import SalmuError
from salmu_core.plugins.zoo import discover
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store
from salmu_core.study.engine import Job
from salmu_core.study.work import carry_out

#: Seconds between two steps that are told, at least: files of a cluster are slow.
_STEP = 1.0


@dataclass
class Written(Reporter):
    """A reporter that writes down what it is told, for whoever asked for the study."""

    path: Path
    _told: float = 0.0

    def tell(self, name: str, *words: Any) -> None:
        """Write a line, in one piece."""
        line = json.dumps([name, *words]).encode() + b"\n"
        number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(number, line)
        finally:
            os.close(number)

    def beside(self) -> Reporter:
        return self

    def building(self, stage: str, fraction: float) -> None:
        if time.monotonic() - self._told > _STEP:
            self._told = time.monotonic()
            self.tell("building", stage, fraction)

    def begin(self, label: str, activity: str) -> None:
        self.tell("begin", label, activity)

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        if done == of or time.monotonic() - self._told > _STEP:
            self._told = time.monotonic()
            self.tell("step", done, of, {name: float(value) for name, value in values.items()})

    def end(self, note: str) -> None:
        self.tell("end", note)

    def passed(self, note: str) -> None:
        pass  # it is told by whoever does it

    def say(self, text: str) -> None:
        self.tell("say", text)


@dataclass
class Share:
    """One job's part of a study: what is its own first, and then what others have left.

    Attributes:
        results: The results folder.
        told: The file that it writes to what is to be shown.
        mark: The name of a file in the results folder, by which it is known to be the same.
        index: Which of the jobs.
        count: How many there are.
    """

    job: Job
    results: str
    told: str
    mark: str
    index: int
    count: int
    problem: str = field(default="", init=False)

    def __call__(self) -> str:
        """Do it; returns why it could not be done, which is nothing if it was."""
        told = Written(Path(self.told))
        if not (Path(self.results) / self.mark).exists():
            return f"{platform.node()} does not see {self.results}: give an --output that all machines share"
        told.tell("at", platform.node())
        study = self.job.study
        zoo = discover(fresh=not study.named, kinds=["method"])
        part = self.index, self.count
        try:
            carry_out(study, self.job.overrides, zoo, Store(Path(self.results)), self.job.options, told, part=part)
        except SalmuError as error:
            return str(error)
        return ""

    def checkpoint(self) -> DelayedSubmission:
        """The same again, where it was preempted or has had its time: what is finished is found, a run goes on."""
        return DelayedSubmission(self)
