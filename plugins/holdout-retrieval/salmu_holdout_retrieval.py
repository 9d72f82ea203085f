"""InterIdRet and IntraIdRet: RetFail's ranks, of the associations that are to be kept."""

from __future__ import annotations

from salmu_core import MetricContext, MetricResult, MetricSpec, PerRow, Split, hookimpl

PAPER = "https://arxiv.org/abs/2603.26316"
DEPARTURES = (
    "Ours: the paper measures holdouts by their mean cosine, which stays high when all captions of a space come to lie "
    "close together. The gallery is drawn as RetFail's is, 1,000 captions of the split and 1,000 of retain_disjoint."
)


def mean_reciprocal_rank(ctx: MetricContext, split: Split, name: str) -> MetricResult:
    """Mean reciprocal rank of each row's caption."""
    from salmu_protocol_metrics.retrieval import retrieve

    rank, _, gallery, retrieved = retrieve(ctx, split)
    reciprocal = 1 / rank
    return MetricResult(float(reciprocal.mean()), PerRow(split, {name: reciprocal, "rank": rank}), gallery, retrieved)


def inter_id_ret(ctx: MetricContext) -> MetricResult:
    """Of people wholly outside the forget set."""
    return mean_reciprocal_rank(ctx, "holdout_identity", "InterIdRet")


def intra_id_ret(ctx: MetricContext) -> MetricResult:
    """Of the other half of half-forgotten people's associations."""
    return mean_reciprocal_rank(ctx, "holdout_association", "IntraIdRet")


@hookimpl
def salmu_metrics() -> list[MetricSpec]:
    """Declare the two metrics."""
    return [
        MetricSpec(
            name="InterIdRet",
            summary="Mean reciprocal rank of the captions of people wholly outside the forget set.",
            pillar="utility",
            target="compromised",
            reads=("holdout_identity", "retain_disjoint"),
            compute=inter_id_ret,
            paper=PAPER,
            departures=DEPARTURES,
        ),
        MetricSpec(
            name="IntraIdRet",
            summary="Mean reciprocal rank of the associations to be kept of people whose other ones are forgotten.",
            pillar="utility",
            target="compromised",
            reads=("holdout_association", "retain_disjoint"),
            compute=intra_id_ret,
            paper=PAPER,
            departures=DEPARTURES,
        ),
    ]
