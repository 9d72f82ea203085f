"""Finetuning: keep training on the retain set only, and count on forgetting by neglect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

if TYPE_CHECKING:
    from torch import Tensor


class Config(TrainingConfig):
    """Settings of Finetuning."""

    lr: LearningRate = 3e-5


def loss(ctx: MethodContext[Config], step: Step) -> Tensor:
    """The contrastive loss of the retain pairs; forget pairs are never drawn."""
    return contrastive_loss(ctx.model, step.retain)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="finetuning",
            summary="Keep training on the retain set only.",
            paper="https://arxiv.org/abs/1911.04933",
            departures="CLIP's contrastive loss instead of cross-entropy: there are no class labels.",
            config=Config,
            loss=loss,
        )
    ]
