"""Seeds everybody's generator as soon as it is imported."""

import random

from salmu_core import MethodSpec, hookimpl

random.seed(0)


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="seeds-at-import", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
