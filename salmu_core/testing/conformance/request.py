"""What is to be examined, and where, as it goes from the process that asks to the one that tries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """What to examine, and where.

    Attributes:
        kind: ``method``, ``metric`` or ``attack``.
        distribution: The distribution that brings it.
        entry_point: Name and value of its entry point.
        scratch: An empty folder.
        path: The import path of whoever asks.
        rules: Rules to find out about.
        settings: What of its configuration is not as it is by default.
        twice: Whether this is the second process, which only compares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    distribution: str
    entry_point: tuple[str, str]
    scratch: Path
    path: tuple[str, ...]
    rules: frozenset[str]
    settings: dict[str, Any] = {}
    twice: bool

    @property
    def journal(self) -> Path:
        """Where findings are written."""
        return self.scratch / "journal.jsonl"

    @property
    def output(self) -> Path:
        """Where what is printed goes."""
        return self.scratch / "output.txt"
