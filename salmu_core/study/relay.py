"""The other end of `study.processes`: a process that asks for pieces, does them, and tells how far it is.

It tells in JSON: attacks run in such a process, and whoever listens judges.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from salmu_core.errors import STOPPED, SalmuError
from salmu_core.machine import end_with_parent
from salmu_core.run.reporter import Reporter, listening
from salmu_core.study.failures import attempt
from salmu_core.study.pieces import Piece

Do = Callable[[Piece], None]
#: Characters of a line, at most: whoever listens takes no more at a time.
_LINE = 1 << 16
#: Seconds between two steps that are told, at least.
_STEP = 0.1


def attend(begin: Callable[[Reporter], Do], connection: Connection, patience: float) -> None:
    """What a process does that is handed pieces: one after another, until there is none.

    Args:
        begin: Returns what does a piece, and tells the reporter that it is given.
        patience: Seconds there are to stop tidily.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; whoever hands out ends the others
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as Ctrl-C does
    end_with_parent(patience)
    relay = Relay(connection)
    sys.stdout = sys.stderr = _Spoken(relay)
    try:
        with listening(relay):
            do = begin(relay)
            while (piece := relay.next()) is not None:
                relay.tell("done", *(attempt(do, piece) or ()))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except (SalmuError, OSError) as error:
        relay.tell("failed", str(error), getattr(error, "exit_code", 1), traceback.format_exc())


@dataclass
class Relay(Reporter):
    """A reporter that tells another process."""

    connection: Connection
    _told: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, name: str, *words: Any) -> None:
        """Say something; where nobody hears it any more, there is nothing more to do.

        Raises:
            KeyboardInterrupt: The other process is gone.
        """
        try:
            with self._lock:
                self.connection.send_bytes(json.dumps([name, *words]).encode())
        except OSError:
            raise KeyboardInterrupt from None

    def next(self) -> Piece | None:
        """Ask for something to do.

        Raises:
            KeyboardInterrupt: The other process is gone.
        """
        self.tell("next")
        try:
            piece: Piece | None = self.connection.recv()
        except (EOFError, OSError):
            raise KeyboardInterrupt from None
        return piece

    def building(self, stage: str, fraction: float) -> None:
        self.tell("building", stage, fraction)

    def plan(self, total: int) -> None:
        self.tell("plan", total)

    def begin(self, label: str, activity: str) -> None:
        self.tell("begin", label, activity)

    def step(self, done: int, of: int, values: Mapping[str, float]) -> None:
        if done == of or time.monotonic() - self._told > _STEP:
            self._told = time.monotonic()
            self.tell("step", done, of, {name: float(value) for name, value in values.items()})

    def end(self, note: str) -> None:
        self.tell("end", note)

    def passed(self, note: str) -> None:
        self.tell("passed", note)

    def say(self, text: str) -> None:
        self.tell("say", text[:_LINE])


class _Spoken(io.TextIOBase):
    """What is printed, said line by line."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._relay.say(line)
        return len(text)

    def fileno(self) -> int:
        return 2
