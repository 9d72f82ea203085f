"""Divides by zero, quietly."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].div_(0).sub_(weights["visual.proj"])


@hookimpl
def salmu_methods():
    return [MethodSpec(name="turns-to-nan", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)]
