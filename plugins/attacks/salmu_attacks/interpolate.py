"""Interpolation: walk from the checkpoint towards the original, and see how soon everything is there again."""

from collections.abc import Iterator
from typing import Any

import torch

from salmu_attacks.original import original_weights
from salmu_core import AttackSpec, ModelAttackContext, Stage


def attack(ctx: ModelAttackContext[Any]) -> Iterator[Stage]:
    """Nine stages on the straight line between the two."""
    start, end = ctx.reference.state_dict(), original_weights(ctx)
    for t in (k / 10 for k in range(1, 10)):
        for name, weight in ctx.model.state_dict().items():
            if weight.is_floating_point():
                weight.copy_(torch.lerp(start[name], end[name], t))
        yield Stage(f"t {t:g}", step=t, curve="to the original")


INTERPOLATE = AttackSpec(
    name="interpolate",
    summary="Walk a tenth to nine tenths of the way back to the original's weights: how soon is the leak there again?",
    paper="https://arxiv.org/abs/2505.22310",
    code="https://github.com/shoaibahmed/vision_relearning/tree/7b9a1cc",
    departures="The paper looks at the loss on the straight line between two models, to tell how far unlearning has "
    "gone; here the models on the line are attacked checkpoints.",
    given=("original",),
    model=attack,
)
