"""What one run may take of time and memory. Nothing here needs torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from salmu_core.disk.space import size_of
from salmu_core.errors import UsageError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Limits:
    """What one run may take.

    Attributes:
        seconds: Of time; None for any.
        memory: Bytes of memory that its processes hold; None for any.
    """

    seconds: float | None = None
    memory: int | None = None

    @classmethod
    def parse(cls, timeout: str | None, memory: str | None) -> Limits:
        """From ``600``, ``90s``, ``10m`` or ``2h``, and a size such as ``16GB``.

        Raises:
            UsageError: One is no time, or no size.
        """
        seconds = None
        if timeout is not None:
            parts = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhd]?)\s*", timeout)
            seconds = float(parts[1]) * _UNITS[parts[2]] if parts else 0.0
            if not seconds:
                raise UsageError(f"--run-timeout {timeout!r} is no time: write it as 90s, 10m or 2h.")
        size = None if memory is None else size_of(memory, "--run-memory")
        if size == 0:
            raise UsageError("--run-memory 0 leaves a run nothing to run in: write it as 16GB.")
        return cls(seconds, size)


UNLIMITED = Limits()
