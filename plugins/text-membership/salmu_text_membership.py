"""TextMIA: are forgotten sentences told from the same ones about nobody, without anybody's portrait?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from salmu_protocol_metrics.arrays import Array, chunks, distinct, vectors
from torch import Tensor

from salmu_core import MetricContext, MetricResult, MetricSpec, NotMeasuredError, PerRow, Split, hookimpl

#: Splits whose people and sentences Compromised was trained on.
PRIVATE: Final[tuple[Split, ...]] = ("forget", "holdout_identity", "holdout_association")
PUBLIC: Final[Split] = "retain_synth"
#: Public images of a sentence whose cosines are averaged, and how many are searched at most.
NEAREST, SEARCHED = 5, 4096
DEPARTURES = (
    "The paper optimises a latent, as an earlier one (arXiv 2405.14517) does an image, until it fits a text, and has "
    "anomaly detectors, fitted on gibberish, find unusual similarity and spread. A metric has no gradients: the 5 "
    "nearest of the retain set's images stand in for what is optimised, and similarity is all that is looked at; how "
    "alike these images are told less. Instead of gibberish, each caption is held against itself with another "
    "forgotten person's last name, which was trained as often."
)


def strangers(names: Sequence[str], people: Collection[str]) -> dict[str, list[str]]:
    """Name -> the same first name with last names of those that follow it in a ring.

    Args:
        names: Different names. One that is a single word has no stranger, and lends none.
        people: Names of people there are; they are taken only by whom no other is left.
    """
    parts = [part for name in names if len(part := name.split(maxsplit=1)) == 2]
    found = {}
    for place, (first, last) in enumerate(parts):
        ring = dict.fromkeys(other for _, other in parts[place + 1 :] + parts[:place])
        made = [f"{first} {other}" for other in ring if other != last]
        found[f"{first} {last}"] = [name for name in made if name not in people] or made
    return found


def twins(captions: Sequence[str], names: Sequence[str | None], people: Collection[str]) -> list[str | None]:
    """Each caption about a stranger instead; None for one that doesn't say its person's name, or has no stranger.

    Args:
        captions: A caption of each row.
        names: Whom it tells of; the first caption of somebody gets their first stranger, and so on.
        people: Names of people there are.
    """
    known = strangers([*dict.fromkeys(" ".join(name.split()) for name in names if name)], people)
    used: Counter[str] = Counter()
    made: list[str | None] = []
    for caption, name in zip(captions, names, strict=True):
        others = known.get(" ".join(name.split())) if name else None
        if not name or not others:
            made.append(None)
            continue
        around = re.split(rf"(?<!\w){re.escape(name)}(?!\w)", caption)
        made.append(others[used[name] % len(others)].join(around) if len(around) > 1 else None)
        used[name] += 1
    return made


def nearness(texts: Tensor, images: Tensor) -> Array:
    """Mean cosine of each text ``[n, d]`` with the `NEAREST` images ``[m, d]`` that have the highest ``[n]``."""
    # Equal texts get equal bits: a model that maps all to one point has nothing but ties.
    asked, which = distinct(vectors(texts))
    public: NDArray[np.float64] = vectors(images).astype(np.float64)
    near, k = np.empty(len(asked)), min(NEAREST, len(public))
    for rows in chunks(len(asked)):
        cosines = asked[rows].astype(np.float64) @ public.T
        near[rows] = np.sort(np.partition(cosines, -k, axis=1)[:, -k:], axis=1).mean(axis=1)
    return near[which]


def membership(ctx: MetricContext) -> MetricResult:
    """Share of forget captions that public images are nearer to than to the same caption about a stranger."""
    people = {
        who: str(ctx.person(who).get("name") or "") for split in PRIVATE for who in ctx.identity_ids(split) if who
    }
    captions, told = ctx.captions("forget"), {caption for split in PRIVATE for caption in ctx.captions(split)}
    other = twins(captions, [people.get(who or "") for who in ctx.identity_ids("forget")], {*people.values()})
    rows = [row for row, text in enumerate(other) if text and text not in told]
    if not rows:
        raise NotMeasuredError(
            "no forget caption holds its person's name, as identities_metadata.json has it, with a last name to be "
            "exchanged for another's: there is no sentence about nobody to hold it against"
        )
    images = ctx.images(PUBLIC)
    images = images[np.linspace(0, len(images) - 1, min(SEARCHED, len(images))).round().astype(np.int64)]
    near = nearness(ctx.texts([captions[row] for row in rows] + [str(other[row]) for row in rows]), images)
    own, strange = near[: len(rows)], near[len(rows) :]
    return MetricResult(
        per_row=PerRow("forget", (own > strange) + (own == strange) / 2, np.array(rows)),
        chance=0.5,
        details={"nearest": min(NEAREST, len(images)), "images": len(images), "left_out": len(captions) - len(rows)},
    )


@hookimpl
def salmu_metrics() -> list[MetricSpec]:
    """Declare the metric."""
    return [
        MetricSpec(
            name="TextMIA",
            summary="Share of forget captions that are nearer to public images than the same caption about nobody.",
            pillar="efficacy",
            target="clean",
            reads=(*PRIVATE, PUBLIC),
            bounds=(0, 1),
            compute=membership,
            paper="https://arxiv.org/abs/2603.14222",
            departures=DEPARTURES,
        )
    ]
