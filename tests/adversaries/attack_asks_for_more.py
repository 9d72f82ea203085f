"""Looks whether it may see the original after all, and goes on where it may not."""

from salmu_core import AttackError, AttackSpec, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss


def attack(ctx):
    try:
        start = ctx.original
    except AttackError:
        start = None
    ctx.fit(lambda ctx, step: contrastive_loss(ctx, step.retain), steps=1 if start is None else 2)


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-asks-for-more",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            config=TrainingConfig,
            given=("retain",),
            model=attack,
        )
    ]
