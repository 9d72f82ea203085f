"""The other end of `study.processes`: a process that asks for pieces, does them, and tells how far it is.

It tells in JSON: attacks run in such a process, and whoever listens judges.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from salmu_core.errors import STOPPED, SalmuError
from salmu_core.machine import end_with_parent
from salmu_core.run.reporter import Reporter, listening
from salmu_core.study.failures import attempt
from salmu_core.study.pieces import Piece
from salmu_core.study.saying import Telling

Do = Callable[[Piece], None]


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
class Relay(Telling):
    """Tells the process at the other end of a connection, and asks it for pieces."""

    connection: Connection
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, line: bytes) -> None:
        """Say something; where nobody hears it any more, there is nothing more to do.

        Raises:
            KeyboardInterrupt: The other process is gone.
        """
        try:
            with self._lock:
                self.connection.send_bytes(line)
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
