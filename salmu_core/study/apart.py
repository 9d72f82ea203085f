"""The process that one run is made in, from within: set apart from everything else, it leaves a result and ends.

No method runs anywhere else. What it does to its process reaches no other run and no judge: patched libraries, closed
files, threads, signals. Its own session, a death signal, and no open file but those that are only read come with every
operating system that has them; where the kernel has Landlock, it can read no holdouts, Clean, results or cache, write
to its scratch folder alone, and signal nobody outside.
"""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from salmu_core.benchmark.folder import Benchmark
from salmu_core.contract.layout import FORGET, RETAIN_SYNTH
from salmu_core.disk import landlock
from salmu_core.disk.cache import folders_of, work_for
from salmu_core.disk.files import demolish
from salmu_core.errors import SalmuError
from salmu_core.machine import cache_folder
from salmu_core.run import saves
from salmu_core.run.accelerator import set_threads
from salmu_core.run.outcome import Outcome
from salmu_core.run.reporter import listening
from salmu_core.run.saves import SAVES
from salmu_core.store.folders import Store
from salmu_core.store.scratch import attempt_in, clear_home, inherit
from salmu_core.study.parcel import leave, leave_failure, leave_interrupt
from salmu_core.study.saying import Aloud, Telling
from salmu_core.study.tracking import FOLDER
from salmu_core.train.observer import UNSEEN, Observer

#: In a scratch folder: what is left, temporary files, entries for the cache, what is told, and what is printed.
LEFT, TEMPORARY, CACHE, TOLD, PRINTED = "left", "tmp", "cache", "told", "printed"
#: Variables that name where torch's compilers keep what they made.
COMPILERS = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


class Make(Protocol):
    """Makes a run that is open already."""

    def __call__(self, *, observer: Observer, kept: Path) -> Outcome:
        """Make it while somebody looks on.

        Args:
            kept: The folder of what an interrupted attempt goes on from.
        """


@dataclass(frozen=True)
class Cell:
    """What a run's process has.

    Attributes:
        scratch: The folder where it may write: this attempt's alone.
        hidden: Files and folders that it must not read.
        shown: Those in them that it may.
        owner: Whose entries of the cache it uses.
        threads: CPU threads that it computes with.
        scalars: Whether it tells every scalar.
    """

    scratch: Path
    hidden: tuple[Path, ...]
    shown: tuple[Path, ...]
    owner: str
    threads: int = 1
    scalars: bool = False

    @classmethod
    def of(cls, store: Store, folder: Path, benchmark: Benchmark, owner: str, threads: int, scalars: bool) -> Cell:
        """That of a run, by its folder: of results, the cache and the benchmark it sees what it is shown, no more."""
        results = [store.root / name for name in (*store.benchmarks(), benchmark.name, FOLDER)]
        shown = [*folders_of(owner), benchmark.model_folder("compromised")]
        for split in (FORGET, RETAIN_SYNTH):  # whose cached images may turn out to be damaged
            shown += (benchmark.data / "data").glob(f"{split}-*.parquet")
        return cls(
            scratch=attempt_in(store.scratch(folder).absolute()),
            hidden=(*results, cache_folder(), *benchmark.folders),
            shown=tuple(filter(None, shown)),
            owner=owner,
            threads=threads,
            scalars=scalars,
        )

    def furnish(self, fresh: bool) -> None:
        """Make the scratch folder, with nothing in it but what an earlier attempt saved for this one.

        Args:
            fresh: Whether that goes too.
        """
        if self.scratch.exists():  # by an earlier try of this process
            self.clear(fresh)
        else:
            while not self.scratch.is_dir():
                with suppress(FileNotFoundError):  # another one has just taken the empty folder around it away
                    self.scratch.mkdir(parents=True, exist_ok=True)
            if not fresh:
                inherit(self.scratch, SAVES)
            clear_home(self.scratch.parent, self.scratch)
        for name in (LEFT, TEMPORARY, CACHE, SAVES):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)
        for name in (TOLD, PRINTED):
            (self.scratch / name).touch()

    def clear(self, fresh: bool = False) -> None:
        """Empty the scratch folder, but for what an attempt saved for the next one.

        Args:
            fresh: Whether that goes too.
        """
        for path in self.scratch.iterdir() if self.scratch.is_dir() else ():
            if fresh or path.name != SAVES or path.is_symlink() or not path.is_dir():
                demolish(path)

    def leave(self) -> None:
        """Delete the scratch folder, and what attempts that are over have left beside it."""
        with suppress(OSError):
            demolish(self.scratch)
        clear_home(self.scratch.parent)


def live(opened: Callable[[], Make], cell: Cell, forked: bool) -> NoReturn:
    """Make a run and leave what comes of it; whoever started this process finds it in the scratch folder.

    Args:
        opened: Opens what the run needs, where this process did not inherit it, and returns what makes it.
        forked: Whether the process was forked from another one, whose files are open in it.
    """
    end, own, code = os._exit, os.getpid(), 1  # as they are before anybody has changed anything
    left = cell.scratch / LEFT
    try:
        _leave_home(cell, forked)
        make = opened()
        tell = _Noted(cell.scratch / TOLD)
        _lock_up(cell)
        with listening(Aloud()):
            observer = Observer(on_step=tell.step, on_scalar=tell.scalar if cell.scalars else UNSEEN.on_scalar)
            outcome = make(observer=observer, kept=cell.scratch / SAVES)
        if os.getpid() == own:  # a method may come back twice: from a process that it forked
            os.umask(0o077)
            leave(left, outcome)
        code = 0
    except KeyboardInterrupt as error:
        if os.getpid() == own and not _by_signal(error):  # the method's: Ctrl-C does not reach this process
            leave_interrupt(left, error)
    except (SalmuError, OSError, MemoryError) as error:
        if os.getpid() == own:
            os.umask(0o077)
            for name in (LEFT, TEMPORARY, CACHE):  # what has filled the disk leaves no room for a word
                demolish(cell.scratch / name)
            left.mkdir()
            leave_failure(left, error)
    except BaseException:
        traceback.print_exc()
    finally:
        if os.getpid() == own:
            with suppress(BaseException):
                sys.stdout.flush()
        end(code)


def _by_signal(error: KeyboardInterrupt) -> bool:
    """Whether what waits for a step's end when a signal comes has raised it."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return isinstance(error, saves.Stopped) or frame.f_globals.get("__name__") == saves.__name__


def _leave_home(cell: Cell, forked: bool) -> None:
    """Let go of what was inherited: terminal, streams, open files, signals."""
    parent = os.getppid()
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    landlock.prctl(landlock.DEATH_SIGNAL, signal.SIGKILL)
    if sys.platform != "linux" and hasattr(os, "killpg"):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    ways_out = [*_inherited()] if forked else []
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in ways_out:
        os.dup2(nothing, descriptor)  # not closed: the number stays taken, whoever thinks that it is his
    printed = os.open(cell.scratch / PRINTED, os.O_WRONLY | os.O_APPEND)
    for stream, target in enumerate((nothing, printed, printed)):
        os.dup2(target, stream)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout = sys.stderr = io.TextIOWrapper(
        io.FileIO(1, "w", closefd=False), errors="backslashreplace", encoding="utf-8", write_through=True
    )


def _inherited() -> Iterator[int]:
    """Open files through which somebody else could be reached: all but those that are only read."""
    import fcntl

    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with suppress(OSError):  # the listing's own
            if not stat.S_ISREG(os.fstat(number).st_mode) or fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE:
                yield number


def _watch(parent: int) -> None:
    """End with the parent, and take along what was started here."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def _lock_up(cell: Cell) -> None:
    """From here on, a method may run."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(cell.scratch / TEMPORARY)
    for name in COMPILERS:  # torch names a folder as soon as it is imported, and what lies there would be others' code
        os.environ[name] = str(cell.scratch / TEMPORARY / name.lower())
    work_for(cell.owner, cell.scratch / CACHE)
    set_threads(cell.threads)
    if landlock.version():
        landlock.confine([*landlock.all_but(cell.hidden), *cell.shown], [cell.scratch])


class _Noted(Telling):
    """Writes down how far a run is, for whoever waits; a method may have closed the file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def scalar(self, name: str, value: float, step: int) -> None:
        """A scalar that goes into the record."""
        self.tell("scalar", name, value, step)

    def send(self, line: bytes) -> None:
        with suppress(OSError, ValueError):
            os.write(self._file, line + b"\n")
