"""Thinks it is a script."""

import sys

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    sys.exit("done")


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="raises-system-exit",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
