"""Selective Synaptic Dampening: weights that the forget set needs more than the retain set does are made smaller.

With I_f and I_r the diagonals of the empirical Fisher information on either set, a weight w becomes

    w min(l I_r / I_f, 1)   where I_f > a I_r,   and else stays.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import Features, MethodConfig, MethodContext, MethodSpec, PoolName, Search, Step, hookimpl
from salmu_core.losses import contrastive, forget_loss, retain_loss


class Config(MethodConfig):
    """Settings of SSD; the published experiments on classifiers have 10 for a and 1 for l."""

    variant: Literal["per-batch", "per-sample"] = Field(
        "per-batch", description="Whose gradients are squared: those of batches, as in public code, or of single pairs."
    )
    selection: Annotated[float, Search(1, 100, log=True)] = Field(97.2, gt=0, description="a: least ratio of needs.")
    dampening: Annotated[float, Search(0.01, 10, log=True)] = Field(9.57, ge=0, description="l: the ratio's factor.")
    batch_size: int = Field(16, ge=1, description="Pairs of a batch, which the information of `per-batch` depends on.")
    bank: int = Field(64, ge=1, description="Pairs of each set that `per-sample` tells a pair from.")


def among(bank: Features, own: Features, logit_scale: Tensor) -> Tensor:
    """The contrastive loss of a batch whose other pairs ``[n, d]`` stay what they are: a scalar.

    Of a batch's gradient this has what goes through the own pair: over all pairs of a batch they add up to it.
    """
    pairs = Features(torch.cat([own.image, bank.image]), torch.cat([own.text, bank.text]))
    return contrastive(pairs, logit_scale)


def needs(ctx: MethodContext[Config], pool: PoolName, bank: Features | None) -> dict[str, Tensor]:
    """The information's diagonal on a set, by parameter name; of single pairs if there is a bank."""
    if bank is None:
        return ctx.gradients(forget_loss if pool == "forget" else retain_loss, on=pool, power=2)

    def loss(ctx: MethodContext[Config], step: Step) -> Tensor:
        own = ctx.features(step.forget if pool == "forget" else step.retain)
        return among(bank, own, ctx.model.logit_scale.exp())

    return ctx.gradients(loss, on=pool, power=2, size=1)


def unlearn(ctx: MethodContext[Config]) -> None:
    """Two passes over data, and one over the weights."""
    bank, dampened = None, 0
    if ctx.config.variant == "per-sample":
        pools: tuple[PoolName, ...] = ("forget", "retain")
        drawn = [ctx.reference_features(next(iter(ctx.batches(pool, ctx.config.bank)))) for pool in pools]
        bank = Features(torch.cat([pairs.image for pairs in drawn]), torch.cat([pairs.text for pairs in drawn]))
    forget, retain = needs(ctx, "forget", bank), needs(ctx, "retain", bank)
    with ctx.edit() as weights:
        for name, needed in forget.items():
            chosen = needed > ctx.config.selection * retain[name]
            factor = (ctx.config.dampening * retain[name] / needed).clamp(max=1)
            weights[name].mul_(torch.where(chosen, factor, 1.0))
            dampened += int(chosen.sum())
    ctx.log("dampened", dampened / sum(needed.numel() for needed in forget.values()))


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    departures = (
        "CLIP's contrastive loss for cross-entropy. For the information on all training data, that on the retain set. "
        "`per-sample` has no published form for a loss that compares: a pair stands among fixed others."
    )
    facts = {"name": "ssd", "paper": "https://arxiv.org/abs/2308.07707", "chosen_on": "mini"}
    code = "https://github.com/if-loops/selective-synaptic-dampening/blob/cdfdc0e/src/ssd.py"
    summary = "Dampen the weights that the forget set needs more than the retain set does."
    facts |= {"code": code, "summary": summary, "departures": departures}
    return [MethodSpec(**facts, tags=("weights",), config=Config, unlearn=unlearn)]
