"""Where parts compute, and with what settings."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from records import Precision

GIB = 2**30


def device() -> torch.device:
    """The card, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def begin() -> torch.device:
    """Settings that `salmu run` has too."""
    torch.set_num_threads(1)
    return device()


def accelerate() -> Accelerator:
    """As ``salmu run --mixed-precision bf16`` makes it."""
    return Accelerator(cpu=device().type == "cpu", mixed_precision="bf16")


@contextmanager
def cleared(accelerator: Accelerator) -> Iterator[None]:
    """Leave no memory taken, whatever happens: the next size must find the card empty."""
    try:
        yield
    finally:
        accelerator.free_memory()  # it holds every optimizer it has seen
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


@contextmanager
def computing(precision: Precision, place: torch.device) -> Iterator[None]:
    """A block in one precision."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    mixed: AbstractContextManager[Any] = nullcontext()
    if precision == "bf16":
        mixed = torch.autocast(place.type, dtype=torch.bfloat16)
    with mixed:
        yield
