"""What lies in this machine, asked without touching it: a process that has not can still be forked."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

#: First compute capability whose bfloat16 is the card's own (Ampere); before it, torch emulates.
BF16 = (8, 0)
_ASKED = ("name", "memory.free", "memory.total", "compute_cap")


@dataclass(frozen=True)
class Card:
    """A CUDA card.

    Attributes:
        free: Bytes of its memory that nobody uses.
        total: Bytes of its memory.
        capability: CUDA's number of its generation.
    """

    name: str
    free: int
    total: int
    capability: tuple[int, int]


def first_card() -> Card | None:
    """The card that a process would compute on, by its driver's own tool; None where that says nothing of one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if visible in ("", "-1"):  # as one hides all of them
        return None
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits", "-i", visible],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        name, free, total, capability = (value.strip() for value in answer.splitlines()[0].split(","))
        major, minor = capability.split(".")
        return Card(name, int(free) * 2**20, int(total) * 2**20, (int(major), int(minor)))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):  # no such tool, no card, or a part of one
        return None
