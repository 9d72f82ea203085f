"""RetFail: where a forget image's caption ranks among captions drawn once for all rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from salmu_core import MetricContext, MetricResult, PerRow, Ranks, Retrieved, Split
from salmu_protocol_metrics.arrays import SEED, random_order
from salmu_protocol_metrics.ranking import search

#: Captions drawn from each of the two pools.
POOL = 1000


def ret_fail(ctx: MetricContext) -> MetricResult:
    """Mean reciprocal rank, and the share of rows whose caption ranks first, alone."""
    found = search_split(ctx, "forget")
    rank, gallery = found.ranks.values, found.ranks.gallery
    return MetricResult(
        per_row=PerRow("forget", {"MRR": 1 / rank, "R@1": (rank == 1).astype(np.float64)}),
        chance={"MRR": guessing(gallery), "R@1": 1 / gallery},
        ranks=found.ranks,
        details=found.details,
        retrieved=found.retrieved,
    )


def guessing(gallery: int) -> float:
    """The mean reciprocal rank of a model that guesses among so many captions."""
    return float((1 / np.arange(1, gallery + 1)).mean())


class Found(NamedTuple):
    """What looking for a split's captions gives.

    Attributes:
        ranks: Of each row's caption, in the whole gallery and among its captions of the split alone. Captions of
            ``retain_disjoint`` describe pictures, and where they all come first, only the second rank tells whether
            the own caption is still known among its like.
        retrieved: The captions that come first.
        details: How the gallery was drawn.
    """

    ranks: Ranks
    retrieved: Retrieved
    details: dict[str, int]


def search_split(ctx: MetricContext, split: Split) -> Found:
    """Rank each row's caption among captions of its split and of retain_disjoint, drawn once for all rows.

    Args:
        ctx: Reads ``split`` and ``retain_disjoint``.
        split: A split with people in it.
    """
    captions = ctx.captions(split)
    own, retain = draw_gallery(captions, ctx.captions("retain_disjoint"))
    drawn = set(own)
    pairs, gallery = ctx.embeddings(split), ctx.texts([*own, *retain])
    mine = np.array([caption in drawn for caption in captions])
    texts = [*own, *retain]
    number: dict[str, int] = {}
    for text in (*texts, *captions):
        number.setdefault(text, len(number))
    rank, private, found, cosines = search(pairs.image, pairs.text, gallery, mine, len(own))
    row, place = np.nonzero(found == len(texts))
    found[row, place] = [number[captions[i]] for i in row]
    return Found(
        Ranks(split, rank, 1 + len(own) + len(retain), (private, 1 + len(own))),
        Retrieved(split, tuple(number), found, cosines),
        {f"drawn_from_{split}": len(own), "drawn_from_retain_disjoint": len(retain), "seed": SEED},
    )


def draw_gallery(own: Iterable[str], retain: Iterable[str]) -> tuple[list[str], list[str]]:
    """At most `POOL` distinct captions of each set, none of them in both; row order does not matter."""
    source = np.random.PCG64(SEED)
    left = set(own)
    pools = (sorted(left), sorted(set(retain) - left))
    first, second = ([pool[i] for i in random_order(source, len(pool))[:POOL]] for pool in pools)
    return first, second
