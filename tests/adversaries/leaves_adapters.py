"""Enters the block of its adapters and never leaves it."""

from salmu_core import MethodSpec, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

_BLOCKS = []


def unlearn(ctx):
    _BLOCKS.append(ctx.adapters(rank=2))
    _BLOCKS[-1].__enter__()
    ctx.fit(lambda ctx, step: -contrastive_loss(ctx, step.forget), steps=2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="leaves-adapters",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            config=TrainingConfig,
            unlearn=unlearn,
        )
    ]
