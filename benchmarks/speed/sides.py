"""Sides that live in processes of their own, so that two checkouts with two environments can take turns."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import ROOT, commit


@dataclass(frozen=True)
class Checkout:
    """A checkout of this repository, with an environment.

    Attributes:
        folder: Where it lies.
        cache: The `SALMU_CACHE` of its processes.
    """

    folder: Path
    cache: Path

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        own = Path(sys.executable)
        return own if self.folder.resolve() == ROOT else self.folder.absolute() / ".venv" / "bin" / "python"

    @property
    def commit(self) -> str:
        """Its commit."""
        return commit(self.folder)

    def environment(self, threads: int | None = 1) -> dict[str, str]:
        """Variables for its processes; ``threads``: of one process, or as it chooses."""
        chosen = {} if threads is None else {"OMP_NUM_THREADS": str(threads), "SALMU_THREADS": str(threads)}
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "120", "SALMU_CACHE": str(self.cache)}
        foreign = {"PYTHONPATH", "VIRTUAL_ENV", "SALMU_THREADS", "OMP_NUM_THREADS"}
        return {name: value for name, value in os.environ.items() if name not in foreign} | quiet | chosen


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        this: The checkout of these scripts.
        against: Another one; None where nothing is held against one.
        work: A folder for whatever is made.
        benchmark: Name or path.
        quick: Sizes that show that it runs, and measure nothing.
    """

    this: Checkout
    against: Checkout | None
    work: Path
    benchmark: str = "mini"
    quick: bool = False

    @property
    def checkouts(self) -> dict[str, Checkout]:
        """By the names that sides have."""
        return {"this": self.this, **({"against": self.against} if self.against else {})}


def processor_seconds(checkout: Checkout, *words: str | Path, threads: int | None = 1, module: str = "-m") -> float:
    """What a Python process of a checkout costs, with all processes that it starts and waits for.

    Args:
        words: What comes after ``python -m``; after ``python -c`` where that is the module.
        threads: Of one process, or as it chooses.

    Raises:
        RuntimeError: It fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [checkout.python, module, *words], env=checkout.environment(threads), cwd=checkout.folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with exit code {done.returncode}:\n{done.stdout}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Side:
    """A process that answers questions, one line of JSON for another.

    Args:
        checkout: Whose environment it has.
        script: A script beside this one, which calls `answer` when it is run.
        words: Its arguments.
    """

    def __init__(self, checkout: Checkout, script: str, words: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [checkout.python, Path(__file__).with_name(script), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=checkout.environment(),
            text=True,
        )

    def ask(self, question: Any = None) -> Any:
        """Its answer.

        Raises:
            RuntimeError: It has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            print(json.dumps(question), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side has ended, with exit code {self._process.wait()}: see above")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def question() -> Any:
    """What the process at the other end asks next; ends this one when it has gone."""
    line = sys.stdin.readline()
    if not line:
        raise SystemExit
    return json.loads(line)


def answer(value: Any) -> None:
    """Tell it."""
    print(json.dumps(value), flush=True)
