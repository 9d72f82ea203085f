"""VLUnlearn (MultiDelete): make forget pairs look unrelated, keep what the retain set knows."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from salmu_core import Features, LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import mse


class Config(TrainingConfig):
    """Settings of VLUnlearn."""

    lr: LearningRate = 0.00106
    decoupling_weight: float = Field(default=1.0, ge=0, description="Weight of the term that decouples forget pairs.")
    multimodal_weight: Weight = Field(
        default=0.399, description="Weight of the term that keeps fused retain embeddings."
    )
    unimodal_weight: Weight = Field(default=9.91, description="Weight of the term that keeps retain embeddings.")


def fused(pairs: Features) -> Tensor:
    """The normalised mean of image and text embedding ``[b, d]``; CLIP has no encoder of pairs."""
    both = pairs.image + pairs.text
    length: Tensor = both.norm(dim=-1, keepdim=True)
    return both / length


def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
    """The three terms; the factor 2 stands for S and its transpose, whose errors are the same."""
    config = ctx.config
    forget, retain = ctx.features(step.forget, step.retain)
    original = ctx.reference_features(step.retain)
    unrelated = ctx.reference_features(step.forget).similarity[:, step.permutation(len(step.forget))]
    return {
        "decoupling": config.decoupling_weight * 2 * mse(forget.similarity, unrelated),
        "multimodal": config.multimodal_weight * mse(fused(retain), fused(original)),
        "unimodal": config.unimodal_weight * (mse(retain.image, original.image) + mse(retain.text, original.text)),
    }


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="vlunlearn",
            summary="MultiDelete: make forget pairs look unrelated, keep the retain set's embeddings.",
            paper="https://arxiv.org/abs/2311.12047",
            code="https://github.com/lluisgomez/MultiDelete/blob/14e67ac0eb28727d0956eaa405e357ed722b16d5/vl_unlearn/task_unlearn.py",
            departures="As in the benchmark authors' adaptation, the normalised mean of both embeddings "
            "stands for the fusion encoder that CLIP lacks. Unlike there, captions are not "
            "lower-cased and keep their punctuation, and weights were searched, not 1 each.",
            config=Config,
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
