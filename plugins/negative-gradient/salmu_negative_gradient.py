"""Negative Gradient: ascend the CLIP loss on the forget set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

if TYPE_CHECKING:
    from torch import Tensor


class Config(TrainingConfig):
    """Settings of Negative Gradient."""

    lr: LearningRate = 3e-5


def loss(ctx: MethodContext[Config], step: Step) -> Tensor:
    """Minus the contrastive loss of the forget pairs."""
    return -contrastive_loss(ctx.model, step.forget)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="negative-gradient",
            summary="Ascend the CLIP loss on the forget set.",
            paper="https://arxiv.org/abs/1911.04933",
            departures="CLIP's contrastive loss instead of cross-entropy: there are no class labels.",
            config=Config,
            loss=loss,
        )
    ]
