"""Generic Captions: fine-tune the forget images on captions without private data."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


class Config(TrainingConfig):
    """Settings of Generic Captions."""

    lr: LearningRate = 0.00514
    retain_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the contrastive loss of retain pairs; 0, as in the benchmark, draws none.",
    )


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """The contrastive loss of the forget images with captions of them that tell nothing private."""
    generic = [ctx.forget.generic_captions[row] for row in step.forget.index]
    terms = {"generic": contrastive_loss(ctx, step.forget.captioned(generic))}
    if ctx.config.retain_weight:
        terms["retain"] = ctx.config.retain_weight * contrastive_loss(ctx, step.retain)
    return terms


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="generic-captions",
            summary="Fine-tune the forget images on generic captions of them.",
            paper="https://arxiv.org/abs/2603.26316",
            departures="None by default; `retain_weight` above 0 adds a contrastive loss of retain "
            "pairs, which the benchmark does not describe.",
            config=Config,
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
