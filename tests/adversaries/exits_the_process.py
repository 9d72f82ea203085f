"""Ends the process without a word."""

import os

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1.5)
    os._exit(3)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="exits-the-process", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
