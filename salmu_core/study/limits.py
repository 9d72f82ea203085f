"""What one run may take of time and memory. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass

from salmu_core.disk.space import size_of
from salmu_core.errors import UsageError
from salmu_core.train.settings import seconds_of


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
        seconds = None if timeout is None else seconds_of(timeout) or 0
        if seconds == 0:
            raise UsageError(f"--run-timeout {timeout!r} is no time: write it as 90s, 10m or 2h.")
        size = None if memory is None else size_of(memory, "--run-memory")
        if size == 0:
            raise UsageError("--run-memory 0 leaves a run nothing to run in: write it as 16GB.")
        return cls(seconds, size)


UNLIMITED = Limits()
