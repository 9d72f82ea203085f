"""Looks at the forget set as often as it likes."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    for _ in range(5):
        for batch in ctx.batches("forget", 8):
            batch.image.sum()


@hookimpl
def salmu_methods():
    return [MethodSpec(name="overdraws", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)]
