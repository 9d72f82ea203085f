"""Gradient Difference: ascend the CLIP loss on the forget set, keep the retain set by its loss or by a divergence."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import Retention, contrastive, retention


class Config(TrainingConfig):
    """Settings of Gradient Difference."""

    lr: LearningRate = 4.99e-5
    variant: Retention = "retain"
    forgetting_weight: float = Field(1.0, ge=0, description="Weight of the term that ascends on forget pairs.")
    retention_weight: Weight = Field(default=6.44, description="Weight of the term that keeps retain pairs.")


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """``-g C(F) + a C(R)``, or ``-g C(F) + a KL(p0 || p)`` over the in-batch softmax on R."""
    config = ctx.config
    forget, retain = ctx.features(step.forget, step.retain)
    return {
        "forgetting": -config.forgetting_weight * contrastive(forget, ctx.model.logit_scale.exp()),
        "retention": config.retention_weight * retention(ctx, step, retain, config.variant),
    }


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="gradient-difference",
            summary="Ascend the CLIP loss on the forget set while the retain set is kept.",
            paper="https://arxiv.org/abs/2401.06121",
            departures="CLIP's contrastive loss instead of the likelihood of an answer's tokens, and in `kl` the "
            "batch's captions, then its images, instead of the vocabulary; `kl` in the paper comes with its own "
            "name, KL minimisation.",
            config=Config,
            chosen_on="mini",
            loss=loss,
        )
    ]
