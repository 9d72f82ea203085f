"""Wants ten people."""

from salmu_core import MetricResult, MetricSpec, PerRow, hookimpl


def compute(ctx):
    assert len(set(ctx.identity_ids("forget"))) > 5, "too few people"
    values = ctx.embeddings("forget").pair_similarity.double().numpy()
    return MetricResult(per_row=PerRow("forget", values))


@hookimpl
def salmu_metrics():
    return [
        MetricSpec(
            name="metric-needs-many",
            summary="An adversary.",
            pillar="efficacy",
            target="clean",
            reads=("forget",),
            compute=compute,
            paper="https://arxiv.org/abs/1",
        )
    ]
