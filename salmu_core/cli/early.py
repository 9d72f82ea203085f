"""Somebody stops salmu before it has begun: there is nothing to put in order yet."""

from __future__ import annotations

import os
import signal

_STOPS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


def heard() -> None:
    """Until a command begins, whoever stops salmu gets a word and 130: an exception may get lost in an import."""
    for number, ordinary in _STOPS.items():
        if signal.getsignal(number) == ordinary:
            signal.signal(number, _end)


def begun() -> None:
    """From now on, stopping is an exception, as Ctrl-C is in Python."""
    for number in _STOPS:
        if signal.getsignal(number) == _end:
            signal.signal(number, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"Stopped.\n")
    os._exit(130)
