"""Runs, and leaves the model as it was."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    ctx.features(next(ctx.batches("forget", 8)))


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="changes-nothing", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
