"""LoRA: the loss of a method of the zoo, trained in adapters of the attention instead of in all weights."""

from pydantic import Field
from salmu_direct_similarity import loss

from salmu_core import LearningRate, MethodContext, MethodSpec, TrainingConfig, hookimpl


class Config(TrainingConfig):
    """Settings of the adapters."""

    lr: LearningRate = 1e-2
    rank: int = Field(default=2, ge=1, description="Rank of each adapter.")


def unlearn(ctx: MethodContext[Config]) -> None:
    """Adapt, and merge."""
    with ctx.adapters(ctx.config.rank, lambda name: ".attn." in name):
        ctx.fit(loss)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="low-rank",
            summary="Direct similarity, in low-rank adapters of the attention.",
            paper="https://arxiv.org/abs/2106.09685",
            departures="A test of adapters.",
            config=Config,
            unlearn=unlearn,
        )
    ]
