"""The process that one run is made in, from outside: started, listened to, kept within limits, and ended."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
from torch import nn

from salmu_core.contract.progress import OnScalar
from salmu_core.disk import landlock
from salmu_core.disk.cache import take_over
from salmu_core.run.outcome import Outcome
from salmu_core.run.reporter import Reporter
from salmu_core.store.scratch import ALIVE
from salmu_core.study.apart import CACHE, LEFT, PRINTED, TOLD, Cell, Make, live
from salmu_core.study.limits import Limits
from salmu_core.study.parcel import FACTS, ParcelError, take

#: Seconds a process gets to stop tidily.
PATIENCE = 20
#: Seconds between two looks at a run's process.
_TICK = 0.1
#: Bytes of a line, of what is read at a time, of what is shown of all that is printed, and that may be printed.
_LINE, _PIECE, _SHOWN, _TOO_MUCH = 1 << 16, 1 << 20, 1 << 20, 1 << 30
_NO_MORE = f"This run prints more than {_SHOWN:,} bytes: what else comes is not shown."


class DiedError(Exception):
    """A run's process ended without a result: how, as the end of a sentence.

    Attributes:
        excess: Whether it was ended because it took more than it may.
    """

    def __init__(self, how: str, excess: bool) -> None:
        super().__init__(how)
        self.excess = excess


class RunProcess:
    """A run being made in a process of its own.

    Args:
        opened: Opens what the run needs, in that process; returns what makes it.
        method: ``fork`` for a copy of this process, in which no method ever ran, or ``spawn`` for a fresh interpreter.
        adopts: Whether all that is a child of this process afterwards, and was not before, is the run's.
    """

    def __init__(
        self, opened: Callable[[], Make], cell: Cell, limits: Limits, method: str = "fork", adopts: bool = True
    ) -> None:
        context: Any = multiprocessing.get_context(method)
        self._scratch, self._limits = cell.scratch, limits
        if method == "spawn":
            resource_tracker.ensure_running()
        self._foundlings = Foundlings() if adopts else None
        self._lines = {name: _Lines(cell.scratch / name) for name in (TOLD, PRINTED)}
        self._process: BaseProcess = context.Process(target=live, args=(opened, cell, method == "fork"))
        self._begun, self._shown, self._over = monotonic(), 0, False
        self._given = self._begun
        self._process.start()
        assert self._process.pid is not None
        self._ended = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None

    def outcome(self, original: nn.Module, owner: str, reporter: Reporter, on_scalar: OnScalar) -> Outcome:
        """Wait for what comes of it; when this returns or raises, nothing of the process goes on.

        Args:
            owner: Whose entries of the cache it has made.
            reporter: Is told how far it is, and what it prints.

        Raises:
            DiedError: It ended without a result.
            MachineError: There is no result, and the method is not to blame.
        """
        how = ""
        try:
            while not how and self._process.exitcode is None and not (self._scratch / LEFT / FACTS).exists():
                self._wait(_TICK)
                self._give_sign()
                self._listen(reporter, on_scalar)
                how = self._excess()
        except BaseException:
            self.end(PATIENCE)
            raise
        # What has left a result has nothing more to do.
        self.end(0 if not how else PATIENCE)
        self._listen(reporter, on_scalar)
        try:
            if how:
                raise ParcelError(how)
            found = take(self._scratch / LEFT, original)
        except ParcelError as error:
            raise DiedError(how or f"{ending(self._process.exitcode)}: it {error}", bool(how)) from None
        take_over(owner, self._scratch / CACHE)
        return found

    def _give_sign(self) -> None:
        """Show other machines that somebody is at work here."""
        if monotonic() - self._given > ALIVE:
            self._given = monotonic()
            with suppress(OSError):
                os.utime(self._scratch)

    def _listen(self, reporter: Reporter, on_scalar: OnScalar) -> None:
        for line in self._lines[TOLD].new():
            match _words(line):
                case "step", int(done), int(of), dict(values) if min(done, of) >= 0:
                    reporter.step(done, of, values)
                case "scalar", str(name), float(value) | int(value), int(step):
                    on_scalar(name, value, step)
        for line in self._lines[PRINTED].new() if self._shown <= _SHOWN else ():
            self._shown += len(line) + 1
            reporter.say(line.decode("utf-8", "replace") if self._shown <= _SHOWN else _NO_MORE)
            if self._shown > _SHOWN:
                break

    def _excess(self) -> str:
        """How the process goes over what it may take; empty while it does not."""
        seconds, memory = self._limits.seconds, self._limits.memory
        if seconds is not None and monotonic() - self._begun > seconds:
            return f"took longer than the {seconds:g} s of --run-timeout"
        if memory is not None and self._memory() > memory:
            return f"took more memory than the {memory / 1e9:.3g} GB of --run-memory"
        if any(lines.floods for lines in self._lines.values()):
            return f"printed more than {_TOO_MUCH:,} bytes"
        return ""

    def _memory(self) -> int:
        taken = 0
        with suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    taken += one.memory_info().rss
        return taken

    def _wait(self, seconds: float) -> None:
        """Until it has ended, at most so long: by what the kernel says, and not by a pipe that it may have closed."""
        if self._ended is not None:
            wait([self._ended], seconds)
            return
        deadline = monotonic() + seconds
        while self._process.exitcode is None and monotonic() < deadline:
            sleep(_TICK / 5)

    def end(self, patience: float = PATIENCE) -> None:
        """End it, and all that it started; where it has ended, nothing is done.

        Args:
            patience: Seconds it gets to stop tidily.
        """
        if self._over:
            return
        if patience and self._process.exitcode is None:
            self._process.terminate()
            self._wait(patience)
        for number in [pid for pid in psutil.pids() if _session(pid) == self._process.pid]:
            _kill(number)
        self._process.kill()
        self._process.join()
        if self._ended is not None:
            ended, self._ended = self._ended, None
            os.close(ended)
        if self._foundlings is not None:
            self._foundlings.end()
        for lines in self._lines.values():
            lines.ended = True
        self._over = True


class Foundlings:
    """Processes that become this one's children though it did not start them: their parents ended without them.

    Only Linux gives them to whoever asks for them.
    """

    def __init__(self) -> None:
        self._known = self._children()
        landlock.prctl(landlock.SUBREAPER, 1)

    def end(self) -> None:
        """End all of them, and what they have started."""
        while found := self._children() - self._known:
            for number in found:
                _kill(number)
                with suppress(OSError):
                    os.waitpid(number, 0)
        landlock.prctl(landlock.SUBREAPER, 0)

    def _children(self) -> set[int]:
        return {child.pid for child in psutil.Process().children()} if sys.platform == "linux" else set()


class _Lines:
    """What is written to a file of a run's process, line by line, as it comes.

    Attributes:
        ended: Whether no more comes: then the last line counts though nobody has ended it.
        floods: Whether that is more than anybody could want.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""
        self._size = 0
        self.ended = False

    @property
    def floods(self) -> bool:
        return os.fstat(self._file.fileno()).st_size > _TOO_MUCH

    def new(self) -> list[bytes]:
        """Lines that have come since, each cut where it is too long."""
        read = self._file.read(_PIECE)
        *lines, self._rest = (self._rest + read).split(b"\n")
        if self.ended or len(self._rest) > _LINE:
            lines, self._rest = [*lines, *filter(None, [self._rest])], b""
        return [line[:_LINE] for line in lines]


def _words(line: bytes) -> list[Any]:
    """What a line says; nothing, where it is none of ours."""
    try:
        words = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return words if isinstance(words, list) and all(_is_plain(word) for word in words) else []


def _is_plain(word: object) -> bool:
    if isinstance(word, Mapping):
        return all(isinstance(value, float) or _is_whole(value) for value in word.values())
    return isinstance(word, str) or _is_whole(word) or (isinstance(word, float) and math.isfinite(word))


def _is_whole(word: object) -> bool:
    """Whether it is a whole number that a float can hold."""
    return isinstance(word, int) and abs(word) <= 1 << 53


def ending(code: int | None) -> str:
    """How a process ended, by its exit code."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"
    return f"ended with exit code {code}"


def _session(pid: int) -> int:
    with suppress(OSError, AttributeError):  # Windows has no sessions
        return os.getsid(pid)
    return 0


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
