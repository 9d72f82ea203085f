"""SLUG: one step along one layer's gradient, as long as it takes to forget.

With g_f the gradient of the wrapped loss and g_r that of CLIP's loss of retain pairs, a layer of weights w has

    importance = |g_f| / |w|,    conflict = |cos(g_f, g_r)|

Of every tower, layers are tried than which none is at once more important and less in conflict: w <- w - r g_f.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, WrapperConfig, hookimpl
from salmu_core.losses import retain_loss


class Config(WrapperConfig):
    """Settings of SLUG."""

    batches: int = Field(
        default=16, ge=1, description="Batches either gradient is the mean of; half of it all at most."
    )
    layers: int = Field(
        default=3, ge=1, description="Layers of a tower's front that are tried, the most important ones."
    )
    tries: int = Field(default=10, ge=1, description="Step sizes that are tried for a layer.")
    left: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the forget MRR of `probe` that counts as forgotten."
    )


class Tried(NamedTuple):
    """A step, by how good it is: whether it forgets, what it keeps, and what it leaves."""

    forgets: bool
    agreement: float
    forgotten: float
    layer: str
    rate: float


def front(layers: Mapping[str, tuple[float, float]]) -> list[str]:
    """Layers, by importance and conflict, than which none is better in one and as good in the other; the most
    important first."""
    beaten = {n for n, a in layers.items() for b in layers.values() if b != a and b[0] >= a[0] and b[1] <= a[1]}
    return sorted(layers.keys() - beaten, key=lambda name: (-layers[name][0], name))


def tried(ctx: MethodContext[Config], name: str, along: Tensor, goal: float) -> Tried:
    """The best step of a layer: doubled until it forgets, then bisected; the weights are as before in the end."""
    with ctx.edit() as weights:
        weight, start = weights[name], weights[name].clone()
        low, high, steps = 0.0, 0.0, list[Tried]()
        rate = float(start.norm() / (10 * along.norm()))
        for _ in range(ctx.config.tries):
            weight.copy_(start - rate * along)
            found = ctx.probe()
            steps.append(Tried(found.forget_mrr <= goal, found.retain_agreement, -found.forget_mrr, name, rate))
            low, high = (low, rate) if steps[-1].forgets else (rate, high)
            rate = (low + high) / 2 if high else 2 * rate
        weight.copy_(start)
    return max(steps)


def unlearn(ctx: MethodContext[Config]) -> None:
    """Choose a layer and a step by `probe`, and make it."""
    config, wrapped = ctx.config, ctx.config.wrapped
    steps = max(1, min(config.batches, ctx.budget.forget // (2 * wrapped.config.batch_size)))
    push = ctx.gradients(wrapped.loss, on="forget", steps=steps)
    keep = ctx.gradients(retain_loss, on="retain", steps=steps)
    towers: dict[bool, dict[str, tuple[float, float]]] = {True: {}, False: {}}
    for name, weight in ctx.model.named_parameters():
        size = float(push[name].norm())
        if weight.ndim > 1 and size > 0:
            across = float((push[name] * keep[name]).sum()) / (size * max(float(keep[name].norm()), 1e-30))
            towers[name.startswith("visual.")][name] = size / float(weight.detach().norm()), abs(across)
    goal = config.left * ctx.probe().forget_mrr
    chosen = [name for layers in towers.values() for name in front(layers)[: config.layers]]
    best = max(tried(ctx, name, push[name], goal) for name in chosen)
    ctx.log(f"step of {best.layer}", best.rate)
    with ctx.edit() as weights:
        weights[best.layer].sub_(best.rate * push[best.layer])


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="slug",
            summary="One step along another method's gradient in one layer, as long as it takes to forget.",
            paper="https://arxiv.org/abs/2407.11867",
            code="https://github.com/CSIPlab/SLUG/blob/59629a2/src/clip/unlearn_slug.py",
            departures="Published code stops by the test accuracy that it reports; here `probe()` decides, which no "
            "metric is. Of each front the most important layers are tried, and what keeps most is taken.",
            config=Config.with_defaults(loss="direct-similarity"),
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
