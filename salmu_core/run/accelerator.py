"""Torch and accelerate, imported and set up: device, precision, threads."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from salmu_core.errors import UsageError

if TYPE_CHECKING:
    from accelerate import Accelerator

#: Processes that have finished their share wait for the others, however long these take.
WEEK = datetime.timedelta(days=7)


def accelerate(
    mixed_precision: str | None,
    threads: int,
    patience: datetime.timedelta = WEEK,
    asked_by: str = "--mixed-precision",
) -> Accelerator:
    """Import torch and set up device, precision and threads.

    Args:
        mixed_precision: As accelerate calls it; None as it is configured.
        threads: CPU threads of this process.
        patience: How long processes wait for each other.
        asked_by: What said which precision, for the error's sentence.

    Raises:
        UsageError: The precision is not one accelerate has on this machine.
    """
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs

    try:
        # Unless it is told, accelerate lets processes without accelerator run side by side unconnected.
        cpu = not torch.accelerator.is_available()
        handlers = [InitProcessGroupKwargs(timeout=patience)]
        accelerator = Accelerator(cpu=cpu, mixed_precision=mixed_precision, kwargs_handlers=handlers)
    except ValueError as error:
        raise UsageError(f"{asked_by} {mixed_precision}: {error}") from error
    torch.set_num_threads(threads)  # accelerate has its own idea
    return accelerator
