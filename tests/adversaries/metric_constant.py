"""Says the same of every model."""

from salmu_core import MetricResult, MetricSpec, hookimpl


def compute(ctx):
    ctx.images("forget")
    return MetricResult(0.5)


@hookimpl
def salmu_metrics():
    return [
        MetricSpec(
            name="metric-constant",
            summary="An adversary.",
            pillar="efficacy",
            target="clean",
            reads=("forget",),
            compute=compute,
            paper="https://arxiv.org/abs/1",
        )
    ]
