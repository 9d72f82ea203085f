"""What an interrupted run can go on from: folders of one run, written whole or not at all, and believed if unhurt."""

from __future__ import annotations

import _thread
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from salmu_core.contract.progress import untold
from salmu_core.disk.files import new_folder
from salmu_core.disk.hashing import hash_file, hash_json
from salmu_core.disk.reading import read_json
from salmu_core.disk.tensors import write_tensors
from salmu_core.errors import FileError, UsageError
from salmu_core.train.settings import Every

#: The folder of them in a run's scratch folder.
SAVES = "saves"
_TENSORS, _FACTS = "tensors.safetensors", "save.json"


class Stopped(KeyboardInterrupt):
    """A run was asked to end, and is kept as far as it is."""


class StartAgain(BaseException):
    """What was kept of a run does not fit it; its message says why. No method's `except` may swallow it."""


@dataclass
class Saves:
    """The saves of one run, one of each of its trainings: the newest, or how it ended.

    Attributes:
        folder: Where they lie; nothing else does.
        every: How often one is written.
        of: What a save must agree with, beside what the run knows of itself: data, plugin, code.
        say: Told what people should know.
        grace: Seconds that a signal to end waits for a step's end.
        stopping: Whether the run is to end at the next step's end.
        training: Whether a signal is worth waiting for a step's end.
        last: When the last save was written, by ``time.monotonic``.
        memory: The most that earlier attempts are known to have held, in bytes.
    """

    folder: Path
    every: Every = field(default_factory=Every)
    of: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = untold
    grace: float = 10.0
    stopping: bool = False
    training: bool = False
    last: float = 0.0
    memory: int = 0
    _identity: str = ""
    _failed: bool = False

    def begin(self, identity: Mapping[str, Any]) -> None:
        """A run begins, or begins again."""
        self._identity = hash_json({**self.of, **identity})
        self.last = time.monotonic()

    def read(self, training: int) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """What was kept of a training, by its number: facts and tensors; None where there is nothing to believe."""
        folder = self._folder(training)
        if not folder.is_dir():
            return None
        try:
            facts = read_json(folder / _FACTS)
            seal = facts.pop("seal")
            if seal != hash_json(facts) or facts.pop("tensors") != hash_file(folder / _TENSORS):
                raise ValueError("a hash is not the recorded one")
            if facts.pop("of") == self._identity:
                # Copies: the file may be gone before they are.
                return facts, {name: value.clone() for name, value in load_file(folder / _TENSORS).items()}
            self.say("What was kept of an interrupted run is of another one, and is not used.")
        except (FileError, OSError, ValueError, KeyError) as error:
            self.say(f"What was kept of an interrupted run is damaged, and is not used: {folder}: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def write(self, training: int, facts: dict[str, Any], tensors: dict[str, Tensor]) -> Writing | None:
        """Begin to write a save; None where that fails, which is said, and not tried again."""
        if self._failed:
            return None
        with self._telling(), ExitStack() as stack:
            folder = stack.enter_context(new_folder(self._folder(training)))
            write_tensors(folder / _TENSORS, tensors)
            facts = {**facts, "of": self._identity, "tensors": hash_file(folder / _TENSORS)}
            return Writing(self, facts, folder, stack.pop_all())
        return None

    def finish(self, writing: Writing, more: Mapping[str, Any]) -> None:
        """Put a save in its place, with facts that were not known when it was begun."""
        facts = {**writing.facts, **more}
        with self._telling(), writing.stack:
            text = json.dumps({**facts, "seal": hash_json(facts)})
            (writing.folder / _FACTS).write_text(text + "\n", encoding="utf-8")
        self.last = time.monotonic()

    def drop(self) -> None:
        """Delete all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A block that SIGTERM and Ctrl-C end at the end of a step, or at once where none is made.

        Raises:
            KeyboardInterrupt: One of them did; `Stopped` if the run is kept.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.stopping, timer = False, threading.Timer(self.grace, _interrupt)
        timer.daemon = True

        def asked(*_: object) -> None:
            if self.stopping or not self.training:
                raise KeyboardInterrupt
            self.stopping = True
            timer.start()

        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, asked)
        try:
            yield
        finally:
            timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.stopping:
            raise Stopped

    def _folder(self, training: int) -> Path:
        return self.folder / f"training-{training:04d}"

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """A block in which a disk may fail: that is no fault of the run, which goes on."""
        try:
            yield
        except (OSError, UsageError) as error:
            self._failed = True
            self.say(f"How far the run is can't be kept, so it would begin again if it were interrupted: {error}")


def _interrupt() -> None:
    """Send the main thread a signal, whatever it waits for."""
    if sys.platform == "win32":
        _thread.interrupt_main(signal.SIGTERM)
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


@dataclass(frozen=True)
class Writing:
    """A save that is not in its place yet.

    Attributes:
        facts: What is known of it.
        folder: Where it is written.
        stack: Closed, it is in its place; closed by an error, it is gone.
    """

    saves: Saves
    facts: dict[str, Any]
    folder: Path
    stack: ExitStack
