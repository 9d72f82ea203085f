"""SalUn: minimise any loss over the weights alone that forgetting pulls at most.

With g = |sum over forget batches of the gradient of -CE|, pooled over all weights that have one, and its quantile q at
the share of these that is left alone:

    mask = [g > q],    theta moves by the loss's own optimizer where mask = 1, and keeps its bytes where it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Search, WrapperConfig, hookimpl, masked
from salmu_core.losses import forget_loss


class Config(WrapperConfig):
    """Settings of SalUn."""

    share: Annotated[float, Search(0.02, 1, log=True)] = Field(
        default=0.115, gt=0, le=1, description="Share that is trained of all weights with a gradient."
    )
    saliency: Literal["contrastive", "loss"] = Field(
        "contrastive",
        description="What is differentiated: `contrastive`, CLIP's loss of forget pairs, as published; `loss`, the one "
        "that is minimised.",
    )
    mask_steps: int = Field(
        default=8, ge=1, description="Forget batches the gradients are summed over; a quarter of the budget at most."
    )


def salient(gradients: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks of the largest gradients: name -> truth values of its shape.

    Args:
        gradients: Of all weights, by name.
        share: Of all together that are not zero, so many are chosen.
    """
    size = torch.cat([g[g != 0].abs() for g in gradients.values()])
    left = len(size) - round(share * len(size))
    least = size.kthvalue(left).values if left else size.new_zeros(())
    return {name: g.abs() > least for name, g in gradients.items()}


def unlearn(ctx: MethodContext[Config]) -> None:
    """Choose the weights by one look at forget pairs, then minimise over them."""
    config, wrapped = ctx.config, ctx.config.wrapped
    pulled = forget_loss if config.saliency == "contrastive" else wrapped.loss
    gradients = ctx.gradients(pulled, on="forget", steps=config.mask_steps, share=0.25)  # the loss has the rest
    masks = salient(gradients, config.share)
    ctx.log("share", sum(m.sum().item() for m in masks.values()) / sum(m.numel() for m in masks.values()))
    ctx.fit(wrapped.loss, transform=masked(masks))


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="salun",
            summary="Minimise another method's loss over the weights that the forget set pulls at most.",
            paper="https://arxiv.org/abs/2310.12508",
            code="https://github.com/OPTML-Group/Unlearn-Saliency/blob/a6e89fd/Classification/generate_mask.py",
            departures="The cross-entropy of a classifier is CLIP's contrastive loss here, and random labels are "
            "whichever loss is wrapped. Gradients are summed over some batches instead of the whole forget set, as "
            "both are charged to one budget. The share is of the weights that have a gradient: those of tokens that "
            "no caption has, many in a small model, would otherwise make up most of what is left alone.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
