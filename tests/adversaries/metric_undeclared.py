"""Reads a split it does not declare."""

from salmu_core import MetricResult, MetricSpec, hookimpl


def compute(ctx):
    return MetricResult(float(ctx.images("holdout_identity").mean() + ctx.images("forget").mean()))


@hookimpl
def salmu_metrics():
    return [
        MetricSpec(
            name="metric-undeclared",
            summary="An adversary.",
            pillar="efficacy",
            target="clean",
            reads=("forget",),
            compute=compute,
            paper="https://arxiv.org/abs/1",
        )
    ]
