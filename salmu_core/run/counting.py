"""Counts what goes through a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from salmu_core.run.meter import Meter


@contextmanager
def counted_forwards(model: nn.Module, meter: Meter) -> Iterator[None]:
    """Count what goes through the towers of a model, whatever library it is of.

    The functions are wrapped in its class, so that the model itself, and copies that a method makes of it, stay plain.
    """
    kind: Any = type(model)

    def images(number: int) -> None:
        meter.forward_passes += 1
        meter.forward_images += number

    def captions(number: int) -> None:
        meter.forward_captions += number

    def counted(encode: Callable[..., Any], count: Callable[[int], None]) -> Callable[..., Any]:
        def counting(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self is model:
                inputs = (value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
                count(len(next(inputs, ())))
            return encode(self, *args, **kwargs)

        return counting

    counts = {"encode_image": images, "encode_text": captions}
    own = {name: vars(kind)[name] for name in counts if name in vars(kind)}
    for name, count in counts.items():
        setattr(kind, name, counted(getattr(kind, name), count))
    try:
        yield
    finally:
        for name in counts:
            setattr(kind, name, own[name]) if name in own else delattr(kind, name)
