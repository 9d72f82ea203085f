"""Relearning from leaked pairs: train on a few of the forgotten ones, and see whether others come back with them."""

from collections.abc import Iterator
from random import Random

from pydantic import Field

from salmu_attacks import relearning
from salmu_attacks.relearning import CODE, DEPARTURES, PAPER, leaked_loss, relearn
from salmu_core import AttackSpec, ModelAttackContext, NotMeasuredError, Pairs, Stage


class Config(relearning.Config):
    """Settings of the relearning."""

    share: float = Field(default=0.05, gt=0, lt=1, description="Share of the forget pairs that leaked.")


def leaked(pairs: Pairs, config: Config, random: Random) -> list[int]:
    """Rows at random; two at least, as a contrastive loss of one pair is 0, and not all."""
    if len(pairs) < 3:
        raise NotMeasuredError("of fewer than three forget pairs, two can't leak with one left to score")
    count = min(max(2, round(config.share * len(pairs))), len(pairs) - 1)
    return random.sample(range(len(pairs)), count)


def attack(ctx: ModelAttackContext[Config]) -> Iterator[Stage]:
    """CLIP's own loss on leaked pairs."""
    return relearn(ctx, leaked_loss)


RELEARN_LEAKED = AttackSpec(
    name="relearn-leaked",
    summary="Fine-tune on a twentieth of the forgotten pairs: do the others come back with them?",
    paper=PAPER,
    code=CODE,
    departures=DEPARTURES + " A random share of the forget pairs leaked.",
    config=Config,
    given=("leaked",),
    leaked=leaked,
    model=attack,
)
