"""Relearning from retain pairs: train on what was never to be forgotten, and see what comes back with it."""

from collections.abc import Iterator

from salmu_attacks.relearning import CODE, DEPARTURES, PAPER, Config, relearn
from salmu_core import AttackSpec, ModelAttackContext, Stage
from salmu_core.losses import retain_loss


def attack(ctx: ModelAttackContext[Config]) -> Iterator[Stage]:
    """CLIP's own loss on retain pairs: nothing in it names a forgotten person."""
    return relearn(ctx, retain_loss)


RELEARN_RETAIN = AttackSpec(
    name="relearn-retain",
    summary="Fine-tune on retain pairs alone: does what was hidden come back by itself?",
    paper=PAPER,
    code=CODE,
    departures=DEPARTURES + " As there, weights do not decay.",
    config=Config,
    given=("retain",),
    model=attack,
)
