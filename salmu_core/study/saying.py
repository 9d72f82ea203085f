"""Reporters of processes that nobody watches but another process, or whoever reads standard error."""

from __future__ import annotations

import sys

from salmu_core.run.reporter import Reporter
from salmu_core.show.escape import visible


class Aside(Reporter):
    """One that says what people should know on standard error, and nothing else."""

    def say(self, text: str) -> None:
        print(visible(text), file=sys.stderr, flush=True)


class Aloud(Reporter):
    """One that says what people should know on standard output, which leads to another process."""

    def say(self, text: str) -> None:
        print(text, flush=True)
