"""Detaches the very term that should unlearn; the other one trains, and all looks well."""

from salmu_core import MethodSpec, hookimpl
from salmu_core.losses import contrastive_loss


def loss(ctx, step):
    leak = ctx.features(step.forget).pair_similarity.detach().mean()
    return {"leak": leak, "keep": contrastive_loss(ctx, step.retain)}


@hookimpl
def salmu_methods():
    return [MethodSpec(name="detaches-a-term", summary="An adversary.", paper="https://arxiv.org/abs/1", loss=loss)]
