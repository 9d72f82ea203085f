"""SLUG: one step along one layer's gradient, as long as it takes to forget.

With g_f the gradient of the wrapped loss and g_r that of CLIP's loss of retain pairs, a layer of weights w has

    importance = |g_f| / |w|,    conflict = |cos(g_f, g_r)|

Of every tower, layers are tried than which none is at once more important and less in conflict: w <- w - r g_f.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from salmu_core import MethodContext, MethodSpec, WrapperConfig, hookimpl, line_search
from salmu_core.losses import retain_loss


class Config(WrapperConfig):
    """Settings of SLUG."""

    batches: int = Field(16, ge=1, description="Batches either gradient is the mean of; half of the budget at most.")
    layers: int = Field(3, ge=1, description="Layers of a tower's front that are tried, the most important ones.")
    tries: int = Field(10, ge=1, description="Step sizes that are tried for a layer.")
    left: float = Field(0.1, gt=0, lt=1, description="Share of the forget MRR of `probe` that counts as forgotten.")


def scores(weight: Tensor, push: Tensor, keep: Tensor) -> tuple[float, float]:
    """Importance and conflict of a layer, from its weights and both gradients."""
    conflict = cosine_similarity(push.flatten(), keep.flatten(), dim=0, eps=1e-30).abs()
    return float(push.norm() / weight.norm()), float(conflict)


def front(layers: dict[str, tuple[float, float]]) -> list[str]:
    """Layers than which, by `scores`, none is better in one and as good in the other; the most important first."""
    beaten = {n for n, a in layers.items() for b in layers.values() if b != a and b[0] >= a[0] and b[1] <= a[1]}
    return sorted(layers.keys() - beaten, key=lambda name: (-layers[name][0], name))


def unlearn(ctx: MethodContext[Config]) -> None:
    """Choose a layer and a step by `probe`, and make it."""
    config = ctx.config
    push = ctx.gradients(config.wrapped.loss, on="forget", steps=config.batches, share=0.5)
    keep = ctx.gradients(retain_loss, on="retain", steps=config.batches, share=0.5)
    goal = config.left * ctx.probe().forget_mrr

    def tried(name: str, weight: Tensor) -> list[tuple[bool, float, float, str, float]]:
        """Steps of a layer, by how good they are: whether they forget, what they keep, and what they leave."""
        first = float(weight.norm() / (10 * push[name].norm()))
        steps = line_search(ctx, {name: -push[name]}, first, config.tries, lambda found: found.forget_mrr <= goal)
        return [(step.enough, step.found.retain_agreement, -step.found.forget_mrr, name, step.length) for step in steps]

    weights = {n: w.detach() for n, w in ctx.model.named_parameters() if w.ndim > 1 and push[n].any()}
    layers = {n: scores(w, push[n], keep[n]) for n, w in weights.items()}
    towers = [{n: s for n, s in layers.items() if n.startswith("visual.") == image} for image in (True, False)]
    chosen = [name for tower in towers for name in front(tower)[: config.layers]]
    *_, name, rate = max(step for name in chosen for step in tried(name, weights[name]))
    ctx.log(f"step of {name}", rate)
    with ctx.edit() as edited:
        edited[name].sub_(rate * push[name])


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
