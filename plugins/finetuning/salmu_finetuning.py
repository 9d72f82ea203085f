"""Finetuning: keep training on the retain set only, and count on forgetting by neglect."""

from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


def loss(ctx: MethodContext[TrainingConfig], step: Step) -> Tensor:
    """The contrastive loss of the retain pairs; forget pairs are never drawn."""
    return contrastive_loss(ctx, step.retain)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="finetuning",
            summary="Keep training on the retain set only.",
            paper="https://arxiv.org/abs/1911.04933",
            departures="CLIP's contrastive loss instead of cross-entropy: there are no class labels.",
            config=TrainingConfig.with_defaults(lr=0.00588),
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
