"""PrivPref, InterIdPref and IntraIdPref: does an image prefer its private caption to one that anybody could write?"""

from __future__ import annotations

from functools import partial
from typing import Literal

from salmu_protocol_metrics.arrays import pair_cosines

from salmu_core import MetricContext, MetricResult, MetricSpec, PerRow, Split, hookimpl

PAPER = "https://arxiv.org/abs/2603.26316"
DEPARTURES = (
    "The paper has no such figure: a third party published it of the two released models (Compromised .6133 on forget, "
    ".5999 on holdout_association, .6164 on holdout_identity; Clean 0). Ours: where both captions have the very same "
    "cosine, the row counts half."
)


def preference(ctx: MetricContext, split: Split) -> MetricResult:
    """Share of images whose private caption has the higher cosine of the two; a tie counts half."""
    pairs = ctx.embeddings(split)
    private = pair_cosines(pairs.image, pairs.text)
    generic = pair_cosines(pairs.image, ctx.texts(ctx.generic_captions(split)))
    return MetricResult(per_row=PerRow(split, (private > generic) + (private == generic) / 2), chance=0.5)


def _spec(name: str, of_whom: str, split: Split, target: Literal["clean", "compromised"]) -> MetricSpec:
    return MetricSpec(
        name=name,
        summary=f"Share of images {of_whom} that prefer their private caption to their generic one.",
        pillar="efficacy" if target == "clean" else "utility",
        target=target,
        reads=(split,),
        bounds=(0, 1),
        compute=partial(preference, split=split),
        paper=PAPER,
        departures=DEPARTURES,
    )


@hookimpl
def salmu_metrics() -> list[MetricSpec]:
    """Declare the three metrics."""
    return [
        _spec("PrivPref", "of the forget set", "forget", "clean"),
        _spec("InterIdPref", "of people wholly outside the forget set", "holdout_identity", "compromised"),
        _spec("IntraIdPref", "of half-forgotten people's other associations", "holdout_association", "compromised"),
    ]
