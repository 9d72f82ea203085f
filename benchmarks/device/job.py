"""Parts that run in processes of their own: what fails or takes too long in one leaves the others alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records import RESULT, Failure, Figure, Result, Subject

#: There where there is a card.
DRIVER = Path("/dev/nvidiactl")
#: Where the first part leaves what is measured on what.
SUBJECT, MACHINE = "subject.json", "machine.json"
#: A part as a whole, in the sentence that says it failed.
WHOLE = "all of it"


@dataclass(frozen=True)
class Job:
    """What a part is given.

    Attributes:
        name: The part.
        scratch: A folder with a benchmark in ``benchmark/``, and room.
        quick: Whether to keep everything tiny.
        deadline: When it is ended, by `time.monotonic`.
        results: A file, to which results are appended line by line: what is there stays, however the part ends.
    """

    name: str
    scratch: Path
    quick: bool
    deadline: float
    results: Path

    @property
    def gflop(self) -> dict[str, float]:
        """10^9 operations of each tower on one item, once they have been counted."""
        subject = Subject.model_validate_json((self.scratch / SUBJECT).read_text(encoding="utf-8"))
        return {"images": subject.image_gflop, "captions": subject.caption_gflop}

    @property
    def context(self) -> Any:
        """How processes are started: anew, since a card that was asked for before a fork can't be used after it.

        At tiny sizes without a card forked, so that nothing is imported twice.
        """
        return multiprocessing.get_context("fork" if self.quick and not DRIVER.exists() else "spawn")

    def tell(self, result: Figure) -> None:
        """Keep a result, and print it."""
        with self.results.open("a", encoding="utf-8") as file:
            file.write(result.model_dump_json() + "\n")
        values = {name: value for name, value in result if name != "kind"}
        print("   ", ", ".join(f"{name} {_short(value)}" for name, value in values.items()), flush=True)

    def attempt(self, what: str, measure: Callable[[], object], needs: float = 0.0) -> bool:
        """Measure one thing; a failure is a result too.

        Args:
            what: What is measured, for the sentence that says it failed.
            measure: Tells its results itself.
            needs: Seconds it takes, about: with less time left it is left out.

        Returns:
            Whether it worked.
        """
        if what != WHOLE:
            print(f"  {what}", flush=True)
        if needs and time.monotonic() + needs > self.deadline:
            self.tell(Failure(part=self.name, what=what, why="there was no time left for it"))
            return False
        try:
            measure()
        except Exception as error:  # out of memory, a compiler that is not there, a card without bf16, ...
            if os.environ.get("SALMU_DEBUG"):
                traceback.print_exc()
            self.tell(Failure(part=self.name, what=what, why=sentence(error)))
            return False
        return True


def sentence(error: BaseException) -> str:
    """One line about an exception, with no path or address of this machine beyond what it says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no reason given'}"


def run(job: Job, part: Callable[[Job], None]) -> Iterator[Result]:
    """Run a part in a process of its own until it ends or its time is over; gives its results."""
    print(f"{job.name} ({max(0.0, job.deadline - time.monotonic()):.0f} s at most)", flush=True)
    process = job.context.Process(target=_run, args=(job, part), name=job.name)
    process.start()
    process.join(max(1.0, job.deadline - time.monotonic() + 5))
    late = process.is_alive()
    if late:
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
    told = job.results.read_text(encoding="utf-8").splitlines() if job.results.exists() else []
    yield from (RESULT.validate_json(line) for line in told)
    if late:
        yield Failure(part=job.name, what="the rest", why="it was ended, because its time was over")
    elif process.exitcode:
        yield Failure(part=job.name, what="the rest", why=f"its process ended with code {process.exitcode}")


def _run(job: Job, part: Callable[[Job], None]) -> None:
    os.setsid()  # so that what it starts ends with it
    job.attempt(WHOLE, lambda: part(job))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
