"""Relearning from leaked pairs: train on a few of the forgotten ones, and see whether others come back with them."""

from random import Random
from typing import Any

from pydantic import Field
from torch import Tensor

from salmu_core import AttackSpec, LearningRate, MethodContext, ModelAttackContext, Pairs, Step, TrainingConfig
from salmu_core.losses import contrastive_loss


class Config(TrainingConfig):
    """Settings of the relearning."""

    lr: LearningRate = 3e-4
    share: float = Field(default=0.05, gt=0, lt=1, description="Share of the forget pairs that leaked.")
    steps: int = Field(default=100, ge=1, description="Batches of leaked pairs that are trained on.")


def leaked(pairs: Pairs, config: Config, random: Random) -> list[int]:
    """Rows at random; two at least, as a contrastive loss of one pair is 0, and not all."""
    count = min(max(2, round(config.share * len(pairs))), len(pairs) - 1)
    return random.sample(range(len(pairs)), count)


def relearn(ctx: MethodContext[Any], step: Step) -> Tensor:
    """CLIP's own loss on leaked pairs."""
    return contrastive_loss(ctx, step.leaked)


def attack(ctx: ModelAttackContext[Config]) -> None:
    """Train the whole model."""
    ctx.fit(relearn, steps=ctx.config.steps)


RELEARN_LEAKED = AttackSpec(
    name="relearn-leaked",
    summary="Fine-tune on a twentieth of the forgotten pairs: do the others come back with them?",
    paper="https://arxiv.org/abs/2505.22310",
    code="https://github.com/shoaibahmed/vision_relearning/tree/7b9a1cc",
    departures="The paper relearns classifiers with cross-entropy, for up to 100 epochs at a learning rate of 1e-5. "
    "Here it is CLIP's contrastive loss on a random share of the forget pairs, for a number of steps at a rate that "
    "suits small models; set `lr`, `share` and `steps` for others.",
    config=Config,
    given=("leaked",),
    leaked=leaked,
    model=attack,
)
