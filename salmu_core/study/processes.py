"""The processes of one study: device, precision and threads of each, how many there are, and which share is whose.

On a CPU one `salmu run` starts workers, each of which makes its share of the runs on one core. They are the same
program with the same arguments, told by ``SALMU_SHARE`` which share is theirs; what they have to say comes back line by
line. Runs are small next to a core's caches, so two processes of one thread each finish sooner than one process of two
threads, and a machine that is busy otherwise does them far less harm.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from salmu_core.machine import usable_cores
from salmu_core.run.reporter import Reporter, Silent

if TYPE_CHECKING:
    from accelerate import Accelerator

VARIABLE = "SALMU_SHARE"
#: Seconds a worker gets to stop tidily.
PATIENCE = 20
#: Processes a study on a CPU is spread over unless more are asked for; each holds about a gigabyte.
MAX_PROCESSES = 4


def spread(asked: int | None, accelerator: Accelerator, pieces: int) -> int:
    """How many processes to spread pieces of work over: one for an accelerator, else the cores there are."""
    default = 1 if accelerator.device.type != "cpu" else min(usable_cores(), MAX_PROCESSES)
    return max(1, min(asked or default, pieces))


def share() -> tuple[int, int]:
    """Which share of the runs is this process's, and of how many: ``(0, 1)`` for all of them."""
    if VARIABLE in os.environ:
        index, _, count = os.environ[VARIABLE].partition("/")
        return int(index), int(count)
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def workers(count: int, reporter: Reporter) -> Iterator[None]:
    """Run the other shares while the block does the first; wait for them at its end, or stop them if it fails.

    Args:
        count: Number of shares.
        reporter: Hears what the workers finish.
    """
    running = [_start(index, count, reporter) for index in range(1, count)]
    try:
        yield
        for place, (process, listeners) in enumerate(running):
            code = _finish(process, listeners)
            if code:
                # Not here: this process has opened the holdouts by now, and no method may run beside them.
                reporter.say(f"A worker process ended with exit code {code}; another one does what it left.")
                running[place] = _start(place + 1, count, reporter)
                _finish(*running[place])
    finally:
        for process, _ in running:
            if process.poll() is None:
                process.terminate()  # not SIGINT, which a process in the background may ignore
        for process, _ in running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _finish(process: subprocess.Popen[str], listeners: list[threading.Thread]) -> int:
    code = process.wait()
    for listener in listeners:
        listener.join()
    return code


def _start(index: int, count: int, reporter: Reporter) -> tuple[subprocess.Popen[str], list[threading.Thread]]:
    process = subprocess.Popen(
        # The very modules of this process: `-m` alone would look in the current folder first.
        [sys.executable, "-P", "-m", "salmu_core", *sys.argv[1:]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), VARIABLE: f"{index}/{count}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    listeners = [
        threading.Thread(target=_listen, args=(process.stdout, reporter.elsewhere), daemon=True),
        threading.Thread(target=_listen, args=(process.stderr, reporter.say), daemon=True),
    ]
    for listener in listeners:
        listener.start()
    return process, listeners


def _listen(stream: IO[str], tell: Callable[[str], None]) -> None:
    for line in stream:
        tell(line.rstrip("\n"))


class Relay(Silent):
    """The reporter of a worker: a line for each piece of work that ends, nothing else."""

    def end(self, note: str) -> None:
        print(note, file=sys.__stdout__, flush=True)
