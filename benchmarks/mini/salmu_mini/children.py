"""Runs worker processes, as many at a time as there are cores, and adds up their progress."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from salmu_core import usable_cores

#: One thread each, whatever the machine: results must not depend on the number of cores.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


class ChildFailed(RuntimeError):
    """A worker process ended with an error; the message holds the end of what it wrote."""


def run_jobs(scratch: Path, jobs: Sequence[Sequence[str]], report: Callable[[float], None]) -> None:
    """Runs `python -m salmu_mini.worker SCRATCH *job` for every job; `report` gets the mean fraction done."""
    fractions = [0.0] * len(jobs)
    changed = threading.Event()
    waiting = list(range(len(jobs)))
    running: dict[int, tuple[subprocess.Popen[str], threading.Thread, IO[str]]] = {}

    def listen(number: int, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            try:
                fractions[number] = float(line)
            except ValueError:
                continue
            changed.set()
        changed.set()

    try:
        while waiting or running:
            while waiting and len(running) < usable_cores():
                number = waiting.pop(0)
                log: IO[str] = tempfile.TemporaryFile("w+", dir=scratch)  # noqa: SIM115 - outlives this block
                child = _start(scratch, jobs[number], log)
                listener = threading.Thread(target=listen, args=(number, child), daemon=True)
                listener.start()
                running[number] = (child, listener, log)
            changed.wait(0.5)
            changed.clear()
            report(sum(fractions) / len(fractions))
            for number in [n for n, (child, _, _) in running.items() if child.poll() is not None]:
                child, listener, errors = running.pop(number)
                listener.join()
                _close(child, jobs[number], errors)
                fractions[number] = 1.0
    finally:
        for child, _, errors in running.values():
            child.kill()
            child.wait()
            errors.close()
    report(1.0)


def _start(scratch: Path, job: Sequence[str], log: IO[str]) -> subprocess.Popen[str]:
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "salmu_mini.worker", str(scratch), *job],
        stdout=subprocess.PIPE,
        stderr=log,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
    )


def _close(child: subprocess.Popen[str], job: Sequence[str], log: IO[str]) -> None:
    if child.returncode != 0:
        log.seek(0)
        tail = "".join(log.readlines()[-15:])
        log.close()
        raise ChildFailed(f"worker {' '.join(job)} ended with status {child.returncode}:\n{tail}")
    log.close()
