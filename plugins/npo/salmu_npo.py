"""NPO: negative preference optimisation, with a pair's contrastive loss in place of an answer's likelihood."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from salmu_core import LearningRate, MethodContext, MethodSpec, Search, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import Retention, contrastive_rows, retention


class Config(TrainingConfig):
    """Settings of NPO; its authors have 0.1 for beta and a weight of 1 for each term."""

    lr: LearningRate = 3.22e-4
    variant: Retention = "retain"
    beta: Annotated[float, Search(0.02, 2, log=True)] = Field(
        default=1.71,
        gt=0,
        description="Inverse temperature: the larger, the sooner a pair that is forgotten is left alone; towards 0 "
        "this is gradient ascent.",
    )
    forgetting_weight: float = Field(1.0, ge=0, description="Weight of the term on forget pairs.")
    retention_weight: Weight = Field(default=9.04, description="Weight of the term that keeps retain pairs.")


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """``(2 / b) mean softplus(-b (L - L0))`` over forget pairs, and what keeps retain pairs.

    L is a pair's contrastive loss under the model and L0 the same under the original.
    """
    config = ctx.config
    forget, retain = ctx.features(step.forget, step.retain)
    now = contrastive_rows(forget, ctx.model.logit_scale.exp())
    before = contrastive_rows(ctx.reference_features(step.forget), ctx.reference.logit_scale.exp())
    preference = softplus(-config.beta * (now - before)).mean() * 2 / config.beta
    return {
        "forgetting": config.forgetting_weight * preference,
        "retention": config.retention_weight * retention(ctx, step, retain, config.variant),
    }


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="npo",
            summary="Make forget pairs less likely than the original finds them, by a bounded loss.",
            paper="https://arxiv.org/abs/2404.05868",
            code="https://github.com/licong-lin/negative-preference-optimization/tree/1207bbe",
            departures="A pair's contrastive loss, the mean of both directions, stands for the summed negative "
            "log-likelihood of an answer, so it depends on the batch.",
            config=Config,
            chosen_on="mini",
            loss=loss,
        )
    ]
