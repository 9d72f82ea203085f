"""DELETE: as the benchmark's authors adapted it to CLIP, and the published mask distillation."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import divergence, mse


class Config(TrainingConfig):
    """Settings of DELETE."""

    lr: LearningRate = 0.000441
    batch_size: int = Field(
        16, ge=2, description="Forget pairs, and as many retain pairs, in one step over all devices."
    )
    variant: Literal["salmubench", "paper"] = Field(
        "salmubench",
        description="`salmubench`: the loss of the benchmark's authors; `paper`: the published mask "
        "distillation, on forget pairs only.",
    )
    forgetting_weight: float = Field(default=1.0, ge=0, description="Weight of the term on forget pairs.")
    retention_weight: Weight = Field(default=9.59, description="Weight of the term on retain pairs; `paper` has none.")


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """The chosen variant's terms."""
    return salmubench_terms(ctx, step) if ctx.config.variant == "salmubench" else paper_terms(ctx, step)


def salmubench_terms(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """Forget similarities to 0, retain similarities as they were; 2 is for S and its transpose."""
    forget, retain = ctx.features(step.forget, step.retain)
    original = ctx.reference_features(step.retain)
    return {
        "forgetting": ctx.config.forgetting_weight * 2 * mse(forget.similarity, 0.0),
        "retention": ctx.config.retention_weight * 2 * mse(retain.similarity, original.similarity),
    }


def paper_terms(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """KL divergence to the original's softmax without the true entry, mean of both directions."""
    logits = ctx.model.logit_scale.exp() * ctx.features(step.forget).similarity
    original = ctx.reference.logit_scale.exp() * ctx.reference_features(step.forget).similarity
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return {"forgetting": ctx.config.forgetting_weight * divergence(logits, original.masked_fill(own, -torch.inf))}


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="delete",
            summary="Drive forget similarities to zero and keep the retain set's, or mask distillation.",
            paper="https://arxiv.org/abs/2503.23751",
            code="https://github.com/lluisgomez/MultiDelete/blob/14e67ac0eb28727d0956eaa405e357ed722b16d5/vl_unlearn/task_unlearn.py",
            departures="The default `salmubench` is the loss that the benchmark's authors call DELETE, "
            "not the published one; unlike theirs, captions are not lower-cased and keep "
            "their punctuation, and the weight of the retain term was searched. `paper` is the published "
            "mask distillation with the batch's captions, then its images, as the classes.",
            config=Config,
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
