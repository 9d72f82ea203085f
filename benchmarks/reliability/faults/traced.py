"""The n-th system call fails as the kernel has it, whoever makes it: Python, safetensors, pyarrow, or torch.

`strace` is told to fail it. Calls are counted in each process, and whatever a process reads or writes counts, its own
output and libraries too; so a sentence need not name a file here. Without strace there are no trials.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from faults.failures import judged
from faults.subject import Subject
from faults.tallies import Trial
from faults.trials import forked, salmu

#: Names of system calls -> what they fail with, and among how many of them one is drawn.
CALLS = {
    "write": ("ENOSPC", 150),
    "fsync": ("EIO", 30),
    "openat": ("EMFILE", 400),
    "rename,renameat,renameat2": ("ENOSPC", 30),
    "mkdir,mkdirat": ("EACCES", 20),
    "flock": ("ENOLCK", 10),
    "ftruncate": ("ENOSPC", 5),
    "unlink,unlinkat": ("EIO", 20),
    "chmod,fchmod,fchmodat": ("EPERM", 5),
}
_PR_SET_PTRACER, _ANYBODY = 0x59616D61, -1


def loop(subject: Subject, rng: Random, count: int) -> Iterator[Trial]:
    """Each kind of call in turn."""
    if shutil.which("strace") is None:
        return
    for number in range(count):
        calls = [*CALLS][number % len(CALLS)]
        error, among = CALLS[calls]
        chosen = rng.randint(1, among)
        with subject.place() as place:

            def study(calls: str = calls, error: str = error, chosen: int = chosen) -> int:
                _fail(calls, f"error={error}:when={chosen}")
                return salmu(subject.command())

            fault = f"{calls.partition(',')[0]} fails with {error}, in the kernel"
            yield judged(subject, place, forked(place, study), fault, f"{calls} {chosen}", named=False)


def _fail(calls: str, how: str) -> None:
    """Have calls of this process and of those it forks fail from now on."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
    words = ["strace", "-f", "-qqq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    subprocess.Popen([*words, "-p", str(os.getpid())], cwd="/")
    deadline = time.monotonic() + 10
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text(encoding="ascii"):
        assert time.monotonic() < deadline, "strace may not trace here"
        time.sleep(0.01)
