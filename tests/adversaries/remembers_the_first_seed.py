"""Draws its noise once and keeps it: every later seed gets the first one's."""

from salmu_core import MethodSpec, hookimpl

NOISE = {}


def unlearn(ctx):
    with ctx.edit() as weights:
        for name, weight in weights.items():
            if name not in NOISE:
                NOISE[name] = ctx.randn_like(weight)
            weight.add_(NOISE[name], alpha=0.01)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="remembers-the-first-seed", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn
        )
    ]
