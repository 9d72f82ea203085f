"""Shuffled Captions: fine-tune the forget images on each other's captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

if TYPE_CHECKING:
    from torch import Tensor


class Config(TrainingConfig):
    """Settings of Shuffled Captions."""

    lr: LearningRate = 3e-5


def loss(ctx: MethodContext[Config], step: Step) -> Tensor:
    """The contrastive loss of the forget images with the captions that `unlearn` gave them."""
    return contrastive_loss(ctx.model, step.forget)


def unlearn(ctx: MethodContext[Config]) -> None:
    """Fit with the forget captions permuted once, so that every image keeps its wrong caption."""
    import torch

    captions = ctx.forget.captions
    order = torch.randperm(len(captions), generator=ctx.rng)
    ctx.fit(loss, captions=[captions[i] for i in order.tolist()])


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="shuffled-captions",
            summary="Fine-tune the forget images on each other's captions.",
            paper="https://arxiv.org/abs/2603.26316",
            departures="When captions are permuted is not published; here once a run, over the whole set.",
            config=Config,
            unlearn=unlearn,
        )
    ]
