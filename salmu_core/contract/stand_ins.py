"""The model at other weights than its own. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.model import ClipModel

R = TypeVar("R")


def at_weights(model: ClipModel, weights: Mapping[str, Tensor], compute: Callable[[], R]) -> R:
    """What ``compute`` returns where other weights stand in for a model's: its losses there, with their gradients.

    ``ctx.features`` and the losses of `salmu_core.losses` are then at these weights, and batches embedded whole.

    Args:
        model: Such as ``ctx.model``, which is left as it was.
        weights: Parameter name -> tensor of its shape, as it was computed from parameters; all others are its own.
        compute: Takes nothing.
    """
    import torch
    from torch.func import functional_call

    class Computing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> R:
            return compute()

    with torch.compiler.set_stance("force_eager"):  # a compiled tower would have its own weights
        found: R = functional_call(Computing(), {f"model.{name}": weight for name, weight in weights.items()}, ())
    return found
