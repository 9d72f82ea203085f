"""Weight-distance regularisation: minimise any loss L and end far from the weights it began with, theta0.

    distance:      L(theta) - lambda RMS(theta - theta0)
    connectivity:  L(theta) - mu min(CE_F + CE_R at (theta + theta0) / 2, 50)

The second raises a barrier between both models; CE is CLIP's contrastive loss of forget and of retain pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, Weight, WrapperConfig, at_weights, hookimpl
from salmu_core.losses import forget_loss, retain_loss

#: What the loss at the midpoint is bounded by.
BOUND = 50.0


class Config(WrapperConfig):
    """Settings of the regulariser."""

    variant: Literal["distance", "connectivity"] = Field(
        "distance", description="What is driven up; see the equations."
    )
    distance_weight: Weight = Field(default=0.154, description="lambda, the weight of the distance.")
    connectivity_weight: float = Field(default=0.001, ge=0, description="mu, the weight of the loss at the midpoint.")


def distance(weights: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> Tensor:
    """Root of the mean square of all differences, a scalar; its gradient is 0 where there is none yet."""
    squares = torch.stack([(weights[name] - start[name]).square().sum() for name in start]).sum()
    root: Tensor = (squares / sum(weight.numel() for weight in start.values()) + 1e-20).sqrt()
    return root


def midpoint_loss(ctx: MethodContext[Config], step: Step) -> Tensor:
    """Sum of the contrastive losses of both batches at the midpoint of the model and the original."""
    start = dict(ctx.reference.named_parameters())
    middle = {name: (weight + start[name]) / 2 for name, weight in ctx.model.named_parameters()}
    return at_weights(ctx.model, middle, lambda: forget_loss(ctx, step) + retain_loss(ctx, step))


def regularised(ctx: MethodContext[Config], step: Step) -> dict[str, Tensor]:
    """The wrapped loss and the regulariser, as terms."""
    config, terms = ctx.config, ctx.config.wrapped.terms(ctx, step)
    if config.variant == "connectivity":
        barrier = midpoint_loss(ctx, step).clamp(max=BOUND)
        return {**terms, "connectivity": -config.connectivity_weight * barrier}
    far = distance(dict(ctx.model.named_parameters()), dict(ctx.reference.named_parameters()))
    return {**terms, "distance": -config.distance_weight * far}


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise the sum."""
    ctx.fit(regularised)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="dist-reg",
            summary="Minimise another method's loss and end far from the original weights, against relearning.",
            paper="https://arxiv.org/abs/2505.22310",
            code="https://github.com/shoaibahmed/vision_relearning/blob/7b9a1cc/vision_unlearner.py",
            departures="Published with the retain set's cross-entropy as the loss, as `finetuning` has it; any other "
            "can be wrapped. The cross-entropy at the midpoint is CLIP's contrastive loss of both batches.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
