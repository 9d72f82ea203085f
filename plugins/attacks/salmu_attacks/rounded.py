"""Rounding: store the checkpoint in fewer bits, and see whether what was taken away is too little to survive it."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from salmu_core import AttackSpec, ModelAttackContext, Stage

#: Matrices that are multiplied from the right: their output rows are columns.
FROM_THE_RIGHT = ("text_projection", "text.text_projection", "visual.proj")


def rounded(weight: Tensor, bits: int) -> Tensor:
    """The nearest of ``2^bits - 1`` levels that lie evenly and symmetrically up to each row's largest size."""
    levels = 2 ** (bits - 1) - 1
    step: Tensor = weight.flatten(1).abs().amax(dim=1).reshape(-1, *[1] * (weight.ndim - 1)) / levels
    nearest: Tensor = (weight / step.where(step > 0, 1.0)).round()
    return nearest * step


def attack(ctx: ModelAttackContext[Any]) -> Iterator[Stage]:
    """All weights in 16 bits; then matrices alone in 8 and in 4, as vectors cost next to nothing."""
    for bits, label in ((16, "fp16"), (8, "int8"), (4, "int4")):
        ctx.restart()
        with ctx.edit() as weights:
            for name, weight in weights.items():
                if bits == 16:
                    weight.copy_(weight.half())
                elif name in FROM_THE_RIGHT:
                    weight.copy_(rounded(weight.T, bits).T)
                elif weight.ndim > 1:
                    weight.copy_(rounded(weight, bits))
        yield Stage(label, step=32 - bits, curve="bits gone")


ROUNDED = AttackSpec(
    name="rounded",
    summary="Round the weights to fp16, int8 and int4: does what was forgotten come back with the precision gone?",
    paper="https://arxiv.org/abs/2410.16454",
    departures="The paper quantises language models with round-to-nearest, GPTQ and AWQ; here it is round-to-nearest, "
    "symmetric, by output row and up to its largest weight, of every matrix: embeddings and convolutions too.",
    model=attack,
)
