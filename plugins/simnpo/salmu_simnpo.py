"""SimNPO: negative preference optimisation without a reference model."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import contrastive, contrastive_rows

#: Variant -> beta and the forget term's weight.
PUBLISHED = {"authors": (2.5, 0.1375), "open-unlearning": (4.5, 0.125)}


class Config(TrainingConfig):
    """Settings of SimNPO."""

    lr: LearningRate = 3e-4
    variant: Literal["authors", "open-unlearning"] = Field(
        "authors",
        description="Whose beta and forgetting weight: `authors`, 2.5 and 0.1375; `open-unlearning`, 4.5 and 0.125.",
    )
    beta: float | None = Field(default=None, gt=0, description="Inverse temperature; by default the variant's.")
    margin: float = Field(default=0.0, description="c: the loss of a pair above which it counts as forgotten.")
    forgetting_weight: float | None = Field(
        default=None, ge=0, description="Weight of the forget term; by default the variant's."
    )
    retention_weight: Weight = Field(default=1.0, description="Weight of the contrastive loss of retain pairs.")


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """``w (2 / b) mean softplus(-b (L - c))`` over forget pairs, L a pair's contrastive loss; plus ``a C(R)``."""
    config, scale = ctx.config, ctx.model.logit_scale.exp()
    published_beta, published_weight = PUBLISHED[config.variant]
    beta = published_beta if config.beta is None else config.beta
    weight = published_weight if config.forgetting_weight is None else config.forgetting_weight
    forget, retain = ctx.features(step.forget, step.retain)
    preference = softplus(-beta * (contrastive_rows(forget, scale) - config.margin)).mean() * 2 / beta
    return {"forgetting": weight * preference, "retention": config.retention_weight * contrastive(retain, scale)}


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="simnpo",
            summary="Make forget pairs unlikely by a bounded loss that needs no original.",
            paper="https://arxiv.org/abs/2410.07163",
            code="https://github.com/OPTML-Group/Unlearn-Simple/tree/f1a355d",
            departures="A pair's contrastive loss, the mean of both directions, stands for an answer's negative "
            "log-likelihood divided by its length. The authors' code and open-unlearning have different defaults: "
            "`variant` chooses.",
            config=Config,
            chosen_on="mini",
            loss=loss,
        )
    ]
