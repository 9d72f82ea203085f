"""Shuffled Captions: fine-tune the forget images on each other's captions."""

import torch
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


def unlearn(ctx: MethodContext[TrainingConfig]) -> None:
    """Fit with the forget captions permuted once, so that every image keeps its wrong caption."""
    order = torch.randperm(len(ctx.forget), generator=ctx.rng).tolist()
    captions = [ctx.forget.captions[row] for row in order]

    def loss(ctx: MethodContext[TrainingConfig], step: Step) -> Tensor:
        return contrastive_loss(ctx, step.forget.captioned([captions[row] for row in step.forget.index]))

    ctx.fit(loss)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="shuffled-captions",
            summary="Fine-tune the forget images on each other's captions.",
            paper="https://arxiv.org/abs/2603.26316",
            departures="When captions are permuted is not published; here once a run, over the whole set.",
            config=TrainingConfig.with_defaults(lr=0.000427),
            chosen_on="mini",
            tags=("baseline",),
            unlearn=unlearn,
        )
    ]
