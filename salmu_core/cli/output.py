"""What every command prints with."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console


def console(stderr: bool = False) -> Console:
    """A console that keeps to 100 columns where neither a terminal nor COLUMNS says how wide the output is."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal and not os.environ.get("COLUMNS"):
        made = Console(stderr=stderr, highlight=False, width=100)
    return made


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
