"""What every relearning shares: CLIP's own loss at several rates, for several lengths, each a stage of its own."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from salmu_core import LearningRate, MethodContext, ModelAttackContext, Stage, Step, TrainingConfig
from salmu_core.losses import contrastive_loss

PAPER = "https://arxiv.org/abs/2505.22310"
CODE = "https://github.com/shoaibahmed/vision_relearning/tree/7b9a1cc"
DEPARTURES = (
    "The paper relearns classifiers with cross-entropy, for up to 100 epochs at a learning rate of 1e-5. Here it is "
    "CLIP's contrastive loss, for a few numbers of steps at that rate and at larger ones, which suit small models."
)


class Config(TrainingConfig):
    """Settings of a relearning."""

    lr: LearningRate = 1e-5
    rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1, 10, 100), min_length=1, description="Peak learning rates that are tried, in units of `lr`."
    )
    curve: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(10, 30, 100), min_length=1, description="Batches that are trained on, at each rate from the start."
    )


def leaked_loss(ctx: MethodContext[Any], step: Step) -> Tensor:
    """CLIP's own loss on leaked pairs."""
    return contrastive_loss(ctx, step.leaked)


def relearn(ctx: ModelAttackContext[Any], loss: Callable[[MethodContext[Any], Step], Tensor]) -> Iterator[Stage]:
    """Train the whole model, for each stage from the checkpoint: none depends on which others there are."""
    for rate in ctx.config.rates:
        lr = ctx.config.lr * rate
        for steps in ctx.config.curve:
            ctx.restart()
            ctx.fit(loss, steps=steps, config=ctx.config.model_copy(update={"lr": lr}))
            yield Stage(f"lr {lr:g}, {steps} steps", step=steps, curve=f"lr {lr:g}")
