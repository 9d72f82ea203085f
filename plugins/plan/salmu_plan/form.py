"""How a plan may be printed. Light to import."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSONL = "jsonl"
    SHELL = "shell"
    SLURM = "slurm-array"
    HYPERQUEUE = "hyperqueue"
