"""Generic Captions: fine-tune the forget images on captions without private data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import contrastive_loss

if TYPE_CHECKING:
    from torch import Tensor


class Config(TrainingConfig):
    """Settings of Generic Captions."""

    lr: LearningRate = 3e-5
    retain_weight: Weight = Field(
        default=0.0, description="Weight of the contrastive loss of retain pairs; 0, as in the benchmark, draws none."
    )


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """The contrastive loss of the forget images with the captions that `unlearn` gave them."""
    terms = {"generic": contrastive_loss(ctx.model, step.forget)}
    if ctx.config.retain_weight:
        terms["retain"] = ctx.config.retain_weight * contrastive_loss(ctx.model, step.retain)
    return terms


def unlearn(ctx: MethodContext[Config]) -> None:
    """Fit with each forget image's generic caption in place of its own."""
    ctx.fit(loss, captions=ctx.forget.generic_captions)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="generic-captions",
            summary="Fine-tune the forget images on generic captions of them.",
            paper="https://arxiv.org/abs/2603.26316",
            departures="None by default; `retain_weight` above 0 adds a contrastive loss of retain "
            "pairs, which the benchmark does not describe.",
            config=Config,
            unlearn=unlearn,
        )
    ]
