"""Negative Gradient: ascend the CLIP loss on the forget set."""

from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


def loss(ctx: MethodContext[TrainingConfig], step: Step) -> Tensor:
    """Minus the contrastive loss of the forget pairs."""
    return -contrastive_loss(ctx, step.forget)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="negative-gradient",
            summary="Ascend the CLIP loss on the forget set.",
            paper="https://arxiv.org/abs/1911.04933",
            departures="CLIP's contrastive loss instead of cross-entropy: there are no class labels.",
            config=TrainingConfig.with_defaults(lr=1.64e-05),
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
