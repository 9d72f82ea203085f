"""The command line: words that are typed become calls.

Nothing is imported before somebody can be heard who stops it.
"""

import signal
import sys
from typing import Any

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of ``salmu``: whoever stops it, by Ctrl-C or SIGTERM and however early, gets a sentence and 130."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)
    try:
        from salmu_core.cli.entry import run

        run()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def __getattr__(name: str) -> Any:
    if name == "app":
        from salmu_core.cli.entry import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
