"""Relearning from retain pairs: train on what was never to be forgotten, and see what comes back with it."""

from typing import Any

from pydantic import Field
from torch import Tensor

from salmu_core import AttackSpec, LearningRate, MethodContext, ModelAttackContext, Step, TrainingConfig
from salmu_core.losses import contrastive_loss


class Config(TrainingConfig):
    """Settings of the relearning."""

    lr: LearningRate = 1e-4
    steps: int = Field(default=100, ge=1, description="Batches of retain pairs that are trained on.")


def relearn(ctx: MethodContext[Any], step: Step) -> Tensor:
    """CLIP's own loss on retain pairs: nothing in it names a forgotten person."""
    return contrastive_loss(ctx, step.retain)


def attack(ctx: ModelAttackContext[Config]) -> None:
    """Train the whole model."""
    ctx.fit(relearn, steps=ctx.config.steps)


RELEARN_RETAIN = AttackSpec(
    name="relearn-retain",
    summary="Fine-tune on retain pairs alone: does what was hidden come back by itself?",
    paper="https://arxiv.org/abs/2505.22310",
    code="https://github.com/shoaibahmed/vision_relearning/tree/7b9a1cc",
    departures="The paper relearns classifiers with cross-entropy, for up to 100 epochs at a learning rate of 1e-5. "
    "Here it is CLIP's contrastive loss, for a number of steps at a rate that suits small models; set `lr` and `steps` "
    "for others. As there, weights do not decay.",
    config=Config,
    given=("retain",),
    model=attack,
)
