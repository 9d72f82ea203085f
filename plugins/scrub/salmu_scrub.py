"""SCRUB: passes that leave a teacher on forget pairs, in turns with passes that return to it on retain pairs."""

import math
from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import contrastive, original_divergence


class Config(TrainingConfig):
    """Settings of SCRUB; its authors have 0.5 for a, and else these constants."""

    lr: LearningRate = 4.45e-4
    warmup: float = Field(default=0.0, ge=0, le=1, description="Share of each pass's steps with linear warm-up.")
    forgetting_passes: float = Field(
        default=0.3, gt=0, le=1, description="Share of the passes, rounded up, that begin with one over the forget set."
    )
    temperature: float = Field(default=2.0, gt=0, description="T, which softens both softmaxes.")
    contrastive_weight: float = Field(1.0, ge=0, description="g: weight of the contrastive loss of retain pairs.")
    divergence_weight: Weight = Field(default=0.22, description="a: weight of their divergence from the original.")


def maximise(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """``-T^2 KL(p0 || p)`` on forget pairs, over the in-batch softmax at temperature T."""
    forget = ctx.features(step.forget)
    return {"forgetting": -original_divergence(ctx, step.forget, forget, ctx.config.temperature)}


def minimise(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """``g C(R) + a T^2 KL(p0 || p)`` on retain pairs."""
    config, retain = ctx.config, ctx.features(step.retain)
    return {
        "contrastive": config.contrastive_weight * contrastive(retain, ctx.model.logit_scale.exp()),
        "divergence": config.divergence_weight * original_divergence(ctx, step.retain, retain, config.temperature),
    }


def unlearn(ctx: MethodContext[Config]) -> None:
    """Passes of as many steps as the forget set has batches; the last one ends with the budget."""
    passes = math.ceil(ctx.budget.forget / len(ctx.forget))
    steps = max(1, len(ctx.forget) // ctx.config.batch_size)
    for number in range(passes):
        if number < math.ceil(ctx.config.forgetting_passes * passes):
            ctx.fit(maximise, steps=steps)
        ctx.fit(minimise, steps=steps if number + 1 < passes else None)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="scrub",
            summary="Leave the original on forget pairs in the first passes, and return to it on retain pairs in all.",
            paper="https://arxiv.org/abs/2302.09880",
            departures="The batch's captions, then its images, are the classes, and CLIP's contrastive loss the "
            "cross-entropy. AdamW instead of SGD with momentum, begun anew in each pass. A pass over retain pairs is "
            "as long as one over the forget set. The last checkpoint is the result, without the rewinding of SCRUB+R, "
            "which needs held-out people.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
