"""What every command prints with."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text


def console(stderr: bool = False) -> Console:
    """A console that keeps to 100 columns where neither a terminal nor COLUMNS says how wide the output is."""
    made = Console(stderr=stderr, highlight=False, emoji=False)
    if not made.is_terminal and not os.environ.get("COLUMNS"):
        made.width = 100
    return made


def say(text: str, *, stderr: bool = False, style: str = "") -> None:
    """Print sentences as they are: a line that is broken cuts a path in two, and whoever copies it gets half.

    What of a path is no text comes as an escape, as ``\\udcff``.
    """
    console(stderr).print(Text(readable(text), style=style), soft_wrap=True)


def readable(text: str) -> str:
    """The same where it is text; what of a path is none, as an escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
