"""Remembers from run to run."""

from salmu_core import MethodSpec, hookimpl

RUNS = []


def unlearn(ctx):
    RUNS.append(ctx)
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1 + len(RUNS))


@hookimpl
def salmu_methods():
    return [MethodSpec(name="keeps-state", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)]
