"""Geometric unlearning: follow any loss where it does not pull along the retain set's gradient.

For every parameter, with g_f the gradient of the wrapped loss and g_r that of CLIP's loss of retain pairs,

    g = g_f - (<g_r, g_f> / <g_r, g_r>) g_r,    <a, b> = sum a b / (sqrt(v) + eps)

so that to first order a step along g, which Adam divides by sqrt(v) + eps, leaves the retain loss what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, WrapperConfig, hookimpl
from salmu_core.losses import retain_loss, total


class Config(WrapperConfig):
    """Settings of geometric unlearning."""

    metric: Literal["adam", "plain"] = Field(
        "adam", description="Inner product: `adam`, the optimizer's, as published; `plain`, with a divisor of 1."
    )


def rejected(push: Tensor, keep: Tensor, divisor: Tensor | float = 1.0) -> Tensor:
    """What of one gradient is orthogonal to another, in the inner product sum a b / divisor; of one shape."""
    square = (keep.square() / divisor).sum()
    along = (push * keep / divisor).sum() / torch.where(square > 0, square, 1)
    left: Tensor = push - along * keep
    return left.mul(left.norm() > 1e-5 * push.norm())  # or Adam would make steps of what rounding leaves


def divisor(ctx: MethodContext[Config], name: str, gradient: Tensor) -> Tensor:
    """sqrt(v) + eps of a parameter; v, the running mean of its squared gradients to this one, is in ``ctx.state``."""
    beta, eps = ctx.config.wrapped.config.beta2, ctx.config.wrapped.config.eps
    square = ctx.state.setdefault(name, torch.zeros_like(gradient)).mul_(beta).add_((1 - beta) * gradient.square())
    count = ctx.state.setdefault(f"steps of {name}", torch.zeros(())).add_(1).item()
    root: Tensor = (square / (1 - beta**count)).sqrt()  # without the bias of the first steps
    return root + eps


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise the wrapped loss along what is left of its gradient."""
    wrapped, plain = ctx.config.wrapped, ctx.config.metric == "plain"

    def both(ctx: MethodContext[Config], step: Step) -> dict[str, Tensor]:
        return {"forget": total(wrapped.loss(ctx, step)), "retain": retain_loss(ctx, step)}

    def project(terms: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        push, keep = terms["forget"], terms["retain"]
        return {n: rejected(g, keep[n], 1.0 if plain else divisor(ctx, n, g)) for n, g in push.items()}

    ctx.fit(both, transform=project)
    ctx.state.clear()  # another run begins anew


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="gu",
            summary="Minimise another method's loss, orthogonal to the retain gradient in the optimizer's metric.",
            paper="https://arxiv.org/abs/2511.17100",
            departures="v is of the wrapped loss's gradient as it is: Adam's own, of the projected and clipped one, "
            "is not at hand. What Adam steps along averages projected gradients of several steps.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
