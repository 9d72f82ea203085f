"""CLIPErase: a forgetting, a retention and a consistency term."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import mse


class Config(TrainingConfig):
    """Settings of CLIPErase."""

    lr: LearningRate = 0.00157
    forgetting_weight: float = Field(
        default=1.0, ge=0, description="Weight of the term that drives forget similarities to 0."
    )
    retention_weight: Weight = Field(default=1.02, description="Weight of the term that keeps retain similarities.")
    consistency_weight: Weight = Field(default=9.39, description="Weight of the term that keeps retain embeddings.")


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """The three terms; the factor 2 stands for S and its transpose, whose errors are the same."""
    config = ctx.config
    forget, retain = ctx.features(step.forget, step.retain)
    original = ctx.reference_features(step.retain)
    return {
        "forgetting": config.forgetting_weight * 2 * mse(forget.similarity, 0.0),
        "retention": config.retention_weight * 2 * mse(retain.similarity, original.similarity),
        "consistency": config.consistency_weight
        * (mse(retain.image, original.image) + mse(retain.text, original.text)),
    }


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="cliperase",
            summary="Drive forget similarities to zero; keep the retain set's similarities and embeddings.",
            paper="https://arxiv.org/abs/2410.23330",
            code="https://github.com/lluisgomez/MultiDelete/blob/14e67ac0eb28727d0956eaa405e357ed722b16d5/vl_unlearn/task_unlearn.py",
            departures="The terms are those of the benchmark authors' adaptation: mean squared errors of "
            "plain cosines. Unlike there, captions are not lower-cased and keep their "
            "punctuation. All terms have the weight 1 there; the weights here were searched.",
            config=Config,
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
