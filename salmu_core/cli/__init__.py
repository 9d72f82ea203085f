"""The command line: words that are typed become calls.

Nothing is imported before somebody can be heard who stops it.
"""

import os
import signal
from typing import Any

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of ``salmu``: whoever stops it, by Ctrl-C or SIGTERM and however early, gets a sentence and 130."""
    # Until a command begins there is nothing to put in order, and an exception might get lost in what is imported.
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    from salmu_core.cli.entry import run

    run()


def begun() -> None:
    """From now on, stopping is an exception, as Ctrl-C is in Python."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) == _end:
            signal.signal(number, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"Stopped.\n")
    os._exit(130)


def __getattr__(name: str) -> Any:
    if name == "app":
        from salmu_core.cli.entry import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
