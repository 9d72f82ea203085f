"""Waits for something that never comes."""

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    while True:
        pass


@hookimpl
def salmu_methods():
    return [MethodSpec(name="never-ends", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)]
