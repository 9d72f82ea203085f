"""InterIdRet and IntraIdRet: RetFail's ranks, of the associations that are to be kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from salmu_protocol_metrics.retrieval import guessing, search_split

from salmu_core import MetricContext, MetricResult, MetricSpec, PerRow, Split, hookimpl

PAPER = "https://arxiv.org/abs/2603.26316"
DEPARTURES = (
    "Ours: the paper measures holdouts by their mean cosine, which stays high when all captions of a space come to lie "
    "close together. The gallery is drawn as RetFail's is, 1,000 captions of the split and 1,000 of retain_disjoint; "
    "draw = 'rows' can be set here too."
)


def mean_reciprocal_rank(ctx: MetricContext, split: Split) -> MetricResult:
    """Mean reciprocal rank of each row's caption."""
    found = search_split(ctx, split)
    ranks = replace(found.ranks, like=None)
    return MetricResult(
        per_row=PerRow(split, 1 / ranks.values),
        chance=guessing(ranks.gallery),
        ranks=ranks,
        details=found.details,
        retrieved=found.retrieved,
    )


def _spec(name: str, summary: str, split: Split) -> MetricSpec:
    return MetricSpec(
        name=name,
        summary=summary,
        pillar="utility",
        target="compromised",
        role="holdout",
        reads=(split, "retain_disjoint"),
        bounds=(0, 1),
        compute=partial(mean_reciprocal_rank, split=split),
        paper=PAPER,
        departures=DEPARTURES,
    )


@hookimpl
def salmu_metrics() -> list[MetricSpec]:
    """Declare the two metrics."""
    of_others = "Mean reciprocal rank of the captions of people wholly outside the forget set."
    of_halves = "Mean reciprocal rank of the associations to be kept of people whose other ones are forgotten."
    return [
        _spec("InterIdRet", of_others, "holdout_identity"),
        _spec("IntraIdRet", of_halves, "holdout_association"),
    ]
