"""Torch and accelerate, imported and set up: device, precision, threads."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING

from salmu_core.errors import UsageError
from salmu_core.run.card import BF16, first_card
from salmu_core.run.launch import check_flags, place, variables

if TYPE_CHECKING:
    from accelerate import Accelerator

#: Processes that have finished their share wait for the others, however long these take.
WEEK = datetime.timedelta(days=7)


def precision_of(mixed_precision: str | None) -> str:
    """What tells figures from those of float32: ``bf16``, ``fp16``, or nothing; found without torch.

    Args:
        mixed_precision: As accelerate calls it; None as it is configured.

    Raises:
        UsageError: It is configured to another one.
    """
    asked = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "").lower() or "no"
    if asked not in ("no", "bf16", "fp16"):
        raise UsageError(
            f"The environment variable ACCELERATE_MIXED_PRECISION is {asked!r}: set it to no, bf16 or fp16."
        )
    return asked.removeprefix("no")


def check_precision(mixed_precision: str | None, asked_by: str = "--mixed-precision") -> None:
    """Find a precision that this machine has not, before anything is opened or built; no card is touched.

    Raises:
        UsageError: It has not.
    """
    if mixed_precision not in ("bf16", "fp16"):
        return  # none, as accelerate is configured, or for accelerate to refuse
    card = first_card()
    if mixed_precision == "bf16" and card is not None and card.capability < BF16:
        raise UsageError(f"{asked_by} bf16: {_emulated(card.name)}")
    if mixed_precision == "fp16" and card is None:
        import torch

        if not torch.accelerator.is_available():
            raise UsageError(f"{asked_by} fp16 needs an accelerator, and this machine has none; leave it out")


def accelerate(
    mixed_precision: str | None, threads: int, patience: datetime.timedelta = WEEK, asked_by: str = "--mixed-precision"
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

    check_flags()
    place()
    try:
        # Unless it is told, accelerate lets processes without accelerator run side by side unconnected.
        cpu = not torch.accelerator.is_available()
        handlers = [InitProcessGroupKwargs(timeout=patience)]
        accelerator = Accelerator(cpu=cpu, mixed_precision=mixed_precision, kwargs_handlers=handlers)
        if accelerator.mixed_precision in ("bf16", "fp16"):
            _try(accelerator)
    except ValueError as error:
        asked = (
            f"{asked_by} {mixed_precision}" if mixed_precision else "the precision that accelerate is configured with"
        )
        raise UsageError(f"{asked}: {error} (environment variables that say how: {variables()})") from error
    except (ImportError, KeyError, RuntimeError, NotImplementedError) as error:  # whatever it is configured to
        raise UsageError(
            f"accelerate can't be set up as its configuration says ({type(error).__name__}: {error}). Look at the "
            f"environment variables that it reads: {variables()}."
        ) from error
    torch.set_num_threads(threads)  # accelerate has its own idea
    return accelerator


def _try(accelerator: Accelerator) -> None:
    """Multiply in the precision that was asked for: accelerate lets some pass that are then not there.

    Raises:
        ValueError: It is not.
    """
    import torch

    device, precision = accelerator.device, accelerator.mixed_precision
    if device.type == "cuda" and precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(_emulated(torch.cuda.get_device_name(device)))
    one = torch.ones(8, 8, device=device)
    try:
        with accelerator.autocast():
            product = one @ one
    except RuntimeError as error:
        raise ValueError(f"{device.type} can't: {error}") from error
    if product.dtype == torch.float32:
        raise ValueError(f"{device.type} would compute in float32 all the same; leave it out")


def _emulated(card: str) -> str:
    return f"{card} has no bfloat16 of its own, and would be slower with it than without; leave it out, or try fp16"


def device_type() -> str:
    """The kind of device that accelerate computes on, found without building anything there."""
    import torch
    from accelerate.utils import parse_flag_from_env

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if device is None or parse_flag_from_env("ACCELERATE_USE_CPU") else device.type


def set_threads(threads: int) -> None:
    """Have torch compute with so many CPU threads from now on."""
    import torch

    torch.set_num_threads(threads)
