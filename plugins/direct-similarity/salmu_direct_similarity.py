"""Direct Similarity Minimization: push the images and captions of forget pairs apart."""

from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, TrainingConfig, hookimpl


def loss(ctx: MethodContext[TrainingConfig], step: Step) -> Tensor:
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
            config=TrainingConfig.with_defaults(lr=7.78e-06),
            chosen_on="mini",
            tags=("baseline",),
            loss=loss,
        )
    ]
