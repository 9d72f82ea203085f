"""What batches feed the layers of a model. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from salmu_core.contract.context import MethodContext
    from salmu_core.contract.steps import Batch


def input_moments(ctx: MethodContext[Any], batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Sum of ``x x^T`` over the inputs x that batches give each linear layer ``y = W x`` of the model.

    Of attention it is the input that all of its projections share, so that query, key and value must be of one matrix.

    Returns:
        Name of W, ``[out, in]`` -> ``[in, in]``, float32.
    """
    import torch

    moments: dict[str, Tensor] = {}

    def look(name: str, layer: Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].detach().flatten(0, -2).float()
        moments[name] = moments.get(name, 0) + x.T @ x

    with torch.no_grad(), ExitStack() as hooks:
        for name, layer in ctx.model.named_modules():
            for kind, weight in ((torch.nn.Linear, "weight"), (torch.nn.MultiheadAttention, "in_proj_weight")):
                if isinstance(layer, kind) and getattr(layer, weight) is not None:
                    hooks.enter_context(layer.register_forward_pre_hook(partial(look, f"{name}.{weight}")))
        for batch in batches:
            ctx.features(batch)
    return moments
