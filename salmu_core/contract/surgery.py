"""Surgery on gradients that any loss can have. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.context import Gradients, Transform


class ByRows(partial["Gradients"]):
    """A transform that is spared the rows of embedding tables that nobody looks up; see `by_rows`."""


def by_rows(transform: Transform) -> ByRows:
    """Surgery for ``fit(transform=...)`` that leaves zeros alone, at a part of its cost.

    Of a large embedding table on a CPU it is given the rows that were looked up so far, ``[k, d]``, in the order they
    came up in: what is new is at the end. Nobody knows of the others, whose gradients are 0.

    Args:
        transform: As for `fit`: gradients of each term by its name -> those that the optimizer gets.
    """
    return ByRows(transform)


def rejected(
    push: Gradients,
    keep: Sequence[Gradients],
    *,
    scope: Literal["model", "parameter"] = "model",
    divisors: Gradients | None = None,
) -> dict[str, Tensor]:
    """What is left of a gradient without its part in the span of others.

    By the normal equations, which for a few long vectors come to the same as QR, and hold if they depend on each other.
    Where no more is left than rounding leaves, it is nothing: Adam would make steps of it.

    Args:
        push: The gradient, parameter name -> tensor.
        keep: The others, of the same names and shapes.
        scope: What is orthogonal: the gradient as a whole, or that of every parameter by itself.
        divisors: Makes it orthogonal in the inner product ``sum a b / divisor``; by default 1.

    Returns:
        Parameter name -> tensor of its shape.
    """
    import torch

    if scope == "parameter":
        parts = [[{name: other[name]} for other in keep] for name in push]
        alone = zip(push.items(), parts, strict=True)
        return {name: rejected({name: g}, part, divisors=divisors)[name] for (name, g), part in alone}

    def rows(name: str) -> Tensor:
        return torch.stack([other[name].flatten() for other in keep])

    gram, along = torch.zeros(len(keep), len(keep)).double(), torch.zeros(len(keep)).double()
    for name, gradient in push.items():
        scaled = rows(name) if divisors is None else rows(name) / divisors[name].flatten()
        gram = gram.to(gradient.device) + scaled @ rows(name).T
        along = along.to(gradient.device) + scaled @ gradient.flatten()
    shares = torch.linalg.pinv(gram, rtol=1e-6, hermitian=True) @ along
    left = {name: g - (shares.to(g) @ rows(name)).view_as(g) for name, g in push.items()}
    before, after = (sum(g.square().sum() for g in gradients.values()) for gradients in (push, left))
    return {name: gradient * (after > 1e-10 * before) for name, gradient in left.items()}
