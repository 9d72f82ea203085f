"""AssocStr, InterIdSim, IntraIdSim, VisIdInt and FragSim: the mean cosine of a split's pairs."""

from __future__ import annotations

from salmu_core import MetricContext, MetricResult, PerRow, Split
from salmu_protocol_metrics.arrays import pair_cosines


def mean_cosine(ctx: MetricContext, split: Split) -> MetricResult:
    """Mean cosine of a split's images with their own captions."""
    pairs = ctx.embeddings(split)
    return MetricResult(per_row=PerRow(split, pair_cosines(pairs.image, pairs.text)))
