"""Replaces the meter's own function, so that nothing is charged."""

from salmu_core import MethodSpec, hookimpl
from salmu_core.run.meter import Meter


def unlearn(ctx):
    Meter.charge = lambda self, pool, samples: None
    for _ in range(5):
        for batch in ctx.batches("forget", 8):
            batch.image.sum()
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1.5)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="cheats-the-meter", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
