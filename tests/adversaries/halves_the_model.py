"""Saves memory."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    ctx.model.half()


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="halves-the-model", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
