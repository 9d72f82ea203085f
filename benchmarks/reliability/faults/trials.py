"""Commands of SALMU in processes forked from this one, which has imported everything; and what becomes of them."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from faults.calls import Heard, Watch

#: What commands import, so that moments at which they are killed fall into their work.
IMPORTED = (
    "accelerate", "open_clip", "PIL.Image", "psutil", "pyarrow.dataset", "pyarrow.parquet", "rich.progress",
    "rich.table", "safetensors.torch", "scipy.stats", "sklearn.linear_model", "torch", "salmu_core.cli",
    "salmu_core.cli.entry", "salmu_core.cli.evaluate", "salmu_core.cli.reading", "salmu_core.cli.results",
    "salmu_core.cli.run", "salmu_core.show.overview", "salmu_core.study.execution", "salmu_core.study.work",
    "salmu_core.study.worker", "salmu_cliperase", "salmu_finetuning", "salmu_protocol_metrics",
)  # fmt: skip
#: Seconds that a command may take, and that processes may outlive the one that started them.
PATIENCE, GRACE = 120.0, 30.0
OUTPUT = "said.txt"


def warm() -> None:
    """Import everything, and keep this process to one thread: a fork has no other."""
    for name in IMPORTED:
        importlib.import_module(name)
    import open_clip.factory
    import torch

    torch.set_num_threads(1)
    # The same tokenizer each time, a tenth of a second each.
    open_clip.factory.SimpleTokenizer = cache(open_clip.factory.SimpleTokenizer)
    open_clip.factory.SimpleTokenizer(context_length=20)


class Ended(NamedTuple):
    """A process that has ended.

    Attributes:
        code: As a shell has it, negative for a signal; None if it took too long, and was ended.
        text: What it printed.
        seconds: That it took.
    """

    code: int | None
    text: str
    seconds: float

    @property
    def sentence(self) -> str:
        """The last thing it said."""
        return next((line for line in reversed(self.text.splitlines()) if line.strip()), "")


class Kill(NamedTuple):
    """A process is killed after some time.

    Attributes:
        after: Seconds.
        whom: Is given the folder and the number of the process that was started.
    """

    after: float
    whom: Callable[[Path, int], None]


def forked(folder: Path, do: Callable[[], int], heard: Heard | None = None, kill: Kill | None = None) -> Ended:
    """Do something in a process of its own, whose current folder it is.

    Args:
        folder: An existing one, with the cache in it.
        do: Returns an exit code.
        heard: Is told of every call about files in it.
        kill: Whom to kill meanwhile.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    start = time.monotonic()
    with warnings.catch_warnings():  # of threads that libraries keep asleep
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _become(folder, do, heard)
    code = _wait(pid, kill.after if kill else PATIENCE)
    if code is None and kill:
        kill.whom(folder, pid)
        code = _wait(pid, PATIENCE)
    if code is None:
        kill_all(folder, pid)
        os.waitpid(pid, 0)
    return Ended(code, (folder / OUTPUT).read_text(encoding="utf-8", errors="replace"), time.monotonic() - start)


def _become(folder: Path, do: Callable[[], int], heard: Heard | None) -> None:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as of a command in the foreground
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        written = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, opened in enumerate([os.open(os.devnull, os.O_RDONLY), written, written]):
            os.dup2(opened, number)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        os.environ.update(SALMU_CACHE=str(folder / "cache"), COLUMNS="120")
        if heard is not None:
            Watch(folder, heard).install()
        code = do()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def _wait(pid: int, seconds: float) -> int | None:
    """Exit code of a process; None if it is still there after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def salmu(words: Sequence[str]) -> int:
    """A command of SALMU in this process; returns its exit code."""
    from salmu_core.cli import main

    sys.argv = ["salmu", *words]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def processes(folder: Path) -> list[int]:
    """Numbers of the living processes whose current folder is a folder, or below it."""
    numbers = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or dead and not yet buried
            if (path / "cwd").readlink().is_relative_to(folder):
                numbers.append(int(path.name))
    return numbers


def orphans(folder: Path) -> list[int]:
    """Processes that outlive the one that started them by more than their time of grace; they are ended."""
    deadline = time.monotonic() + GRACE
    while (left := processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for number in left:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return left


def kill_all(folder: Path, _: int) -> None:
    """Kill every process of a command, as a machine that stops does; this one last, if it is one of them."""
    own = os.getpid()
    for number in sorted(processes(folder), key=lambda number: number == own):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def kill_first(_: Path, number: int) -> None:
    """Kill the process that was started, and it alone."""
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def terminate_first(_: Path, number: int) -> None:
    """Ask the process that was started to end."""
    os.kill(number, signal.SIGTERM)


def interrupt_all(_: Path, number: int) -> None:
    """What Ctrl-C in a terminal does."""
    os.killpg(number, signal.SIGINT)


def kill_one_of_its(folder: Path, number: int) -> None:
    """Kill one process that it has started, if there is one."""
    for other in [other for other in processes(folder) if other != number][:1]:
        with suppress(ProcessLookupError):
            os.kill(other, signal.SIGKILL)
