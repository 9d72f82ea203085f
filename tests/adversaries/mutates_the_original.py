"""Reaches past its context and edits the model that all runs start from."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1.5)
    original = ctx._pools["forget"]._clip.model
    original.visual.proj.data.mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="mutates-the-original",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
