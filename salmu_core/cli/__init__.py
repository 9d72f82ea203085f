"""The command line: words that are typed become calls.

Nothing is imported before somebody can be heard who stops it.
"""

from typing import Any

from salmu_core.cli.early import heard

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of ``salmu``: whoever stops it, by Ctrl-C or SIGTERM and however early, gets a sentence and 130."""
    heard()
    from salmu_core.cli.entry import run

    run()


def __getattr__(name: str) -> Any:
    if name == "app":
        from salmu_core.cli.entry import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
