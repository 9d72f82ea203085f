"""What one job of a study does, on a machine of the cluster."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from submitit.helpers import DelayedSubmission

from salmu_core.errors import SalmuError
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import Store
from salmu_core.study.engine import Job
from salmu_core.study.saying import Telling
from salmu_core.study.work import carry_out


@dataclass
class Written(Telling):
    """Tells by lines of a file; files of a cluster are slow."""

    path: Path
    every = 1.0

    def send(self, line: bytes) -> None:
        """Write a line, in one piece."""
        number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(number, line + b"\n")
        finally:
            os.close(number)


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
        told.at(platform.node())
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
