"""Shuffles with the global generator."""

import numpy as np

from salmu_core import MetricResult, MetricSpec, PerRow, hookimpl


def compute(ctx):
    found = ctx.embeddings("forget")
    order = np.random.permutation(len(found.text))
    values = (found.image * found.text[order]).sum(-1).double().numpy()
    return MetricResult(per_row=PerRow("forget", values))


@hookimpl
def salmu_metrics():
    return [
        MetricSpec(
            name="metric-of-chance",
            summary="An adversary.",
            pillar="efficacy",
            target="clean",
            reads=("forget",),
            compute=compute,
            paper="https://arxiv.org/abs/1",
        )
    ]
