"""NegMerge: of several fine-tunings on what is to be forgotten, go the opposite way of what they agree on.

With tau_1 ... tau_k what k recipes of fine-tuning add to the original's weights theta_0:
    tau   = mean(tau_1 ... tau_k) where all have one sign, and it is not 0, else 0   (entry by entry)
    theta = theta_0 - a tau
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, NegationConfig, hookimpl, negate, task_vector
from salmu_core.losses import forget_loss

Factor = Annotated[float, Field(gt=0)]


class Config(NegationConfig):
    """Settings of NegMerge: recipes are all combinations of the factors and of the orders."""

    lr_factors: tuple[Factor, ...] = Field((0.5, 1.0, 2.0), min_length=1, description="A recipe's `lr`, in that given.")
    batch_factors: tuple[Factor, ...] = Field((0.5, 1.0), min_length=1, description="Its `batch_size`, likewise.")
    orders: int = Field(1, ge=1, description="How often a recipe is trained, each time by other batches.")


def consensus(vectors: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of task vectors, entry by entry, where they have one sign; 0 agrees with nothing, itself included."""
    sums, signs, count = dict[str, Tensor](), dict[str, Tensor](), 0
    for vector in vectors:
        count += 1
        for name, change in vector.items():
            sums[name] = sums[name] + change if name in sums else change
            signs[name] = torch.where(signs[name] == change.sign(), signs[name], 0) if name in signs else change.sign()
    return {name: torch.where(signs[name] != 0, sums[name] / count, 0) for name in sums}


def vectors(ctx: MethodContext[Config]) -> Iterable[dict[str, Tensor]]:
    """A task vector for each recipe that the budget has room for; all have the same share of it."""
    config = ctx.config
    recipes = list(product(config.lr_factors, config.batch_factors, range(config.orders)))
    share = ctx.budget.forget // len(recipes)
    for lr, batch, _ in recipes:
        size = max(1, round(batch * config.batch_size))
        recipe = config.model_copy(update={"lr": lr * config.lr, "batch_size": size})
        vector = task_vector(ctx, forget_loss, steps=max(1, share // size), config=recipe)
        if any(bool(change.any()) for change in vector.values()):  # or there was no room, and nothing was trained
            yield vector


def unlearn(ctx: MethodContext[Config]) -> None:
    """Fine-tune by each recipe, merge, then search the scale by `probe`."""
    merged = consensus(vectors(ctx))
    entries = sum(change.numel() for change in merged.values())
    ctx.log("agreed", sum(int(change.count_nonzero()) for change in merged.values()) / entries)
    negate(ctx, merged)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="negmerge",
            summary="Subtract what several fine-tunings on the forget set agree on.",
            paper="https://arxiv.org/abs/2410.05583",
            code="https://github.com/naver-ai/negmerge/blob/f42853b/CLIP_MU/src/negmerge.py",
            departures="Recipes differ in learning rate, batch size and order, not in image augmentation, and share "
            "one budget: each has a part of the steps. An entry that one recipe leaves at 0 counts as disagreement.",
            tags=("weights",),
            config=Config.with_defaults(lr=4.04e-4, max_scale=4.84),
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
