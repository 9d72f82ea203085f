"""Trains the frozen original."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1.5)
    ctx.reference.visual.proj.data.mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="mutates-the-reference",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
