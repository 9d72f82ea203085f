"""Returns its result instead of leaving it in ctx.model."""

import copy

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    model = copy.deepcopy(ctx.model)
    model.visual.proj.data.mul_(2)
    return model


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="returns-a-new-model",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
