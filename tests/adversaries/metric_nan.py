"""Divides by zero."""

from salmu_core import MetricResult, MetricSpec, hookimpl


def compute(ctx):
    return MetricResult(float(ctx.images("forget").sum() * float("nan")))


@hookimpl
def salmu_metrics():
    return [
        MetricSpec(
            name="metric-nan",
            summary="An adversary.",
            pillar="efficacy",
            target="clean",
            reads=("forget",),
            compute=compute,
            paper="https://arxiv.org/abs/1",
        )
    ]
