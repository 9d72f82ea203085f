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
from torch.nn.functional import pad

from salmu_core import MethodContext, MethodSpec, Step, WrapperConfig, by_rows, hookimpl, rejected
from salmu_core.losses import retain_loss, total


class Config(WrapperConfig):
    """Settings of geometric unlearning."""

    metric: Literal["adam", "plain"] = Field(
        "adam", description="Inner product: `adam`, the optimizer's, as published; `plain`, with a divisor of 1."
    )


def divisor(ctx: MethodContext[Config], name: str, gradient: Tensor) -> Tensor:
    """sqrt(v) + eps of a parameter; v, the running mean of its squared gradients to this one, is in ``ctx.state``."""
    beta, eps = ctx.config.wrapped.config.beta2, ctx.config.wrapped.config.eps
    before = ctx.state.get(name, gradient.new_zeros(0))
    # A row of a table that is looked up for the first time had gradients of 0.
    square = beta * pad(before, (0, gradient.numel() - len(before))) + (1 - beta) * gradient.flatten().square()
    count = ctx.state.get(f"steps of {name}", torch.zeros(())) + 1
    ctx.state.update({name: square, f"steps of {name}": count})
    root = (square / (1 - beta ** count.item())).sqrt()  # without the bias of the first steps
    return (root + eps).view_as(gradient)


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise the wrapped loss along what is left of its gradient."""
    wrapped, plain = ctx.config.wrapped, ctx.config.metric == "plain"

    def both(ctx: MethodContext[Config], step: Step) -> dict[str, Tensor]:
        return {"forget": total(wrapped.loss(ctx, step)), "retain": retain_loss(ctx, step)}

    def project(terms: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        push, keep = terms["forget"], terms["retain"]
        divisors = None if plain else {name: divisor(ctx, name, gradient) for name, gradient in push.items()}
        return rejected(push, [keep], scope="parameter", divisors=divisors)

    ctx.fit(both, transform=by_rows(project))
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
