"""Normalises the shared embeddings in place."""

from salmu_core import MetricResult, MetricSpec, PerRow, hookimpl


def compute(ctx):
    found = ctx.images("forget")
    for shared in ctx._embedder._by_base.values():
        shared.mul_(2)
    values = found.sum(-1).double().numpy()
    return MetricResult(per_row=PerRow("forget", values))


@hookimpl
def salmu_metrics():
    return [
        MetricSpec(
            name="metric-in-place",
            summary="An adversary.",
            pillar="efficacy",
            target="clean",
            reads=("forget",),
            compute=compute,
            paper="https://arxiv.org/abs/1",
        )
    ]
