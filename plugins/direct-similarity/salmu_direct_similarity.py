"""Direct Similarity Minimization: push the images and captions of forget pairs apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salmu_core import LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Config(TrainingConfig):
    """Settings of Direct Similarity Minimization."""

    lr: LearningRate = 1e-5


def loss(ctx: MethodContext[Config], step: Step) -> Tensor:
    """The mean cosine of the forget pairs."""
    return ctx.features(step.forget).pair_similarity.mean()


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="direct-similarity",
            summary="Minimise the mean cosine similarity of the forget pairs.",
            paper="https://arxiv.org/abs/2603.26316",
            departures="None in the loss; the benchmark names no learning rate, this one is ours.",
            config=Config,
            loss=loss,
        )
    ]
