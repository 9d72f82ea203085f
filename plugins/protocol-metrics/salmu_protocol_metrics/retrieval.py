"""RetFail: where a forget image's caption ranks among captions drawn once for all rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from salmu_core import MetricContext, MetricResult, PerRow
from salmu_core.specs import Split
from salmu_protocol_metrics.arrays import SEED, Array, chunks, distinct, random_order, vectors

if TYPE_CHECKING:
    from torch import Tensor

#: Captions drawn from each of the two pools.
POOL = 1000


def ret_fail(ctx: MetricContext) -> MetricResult:
    """Mean reciprocal rank, and the share of rows whose caption ranks first, alone."""
    rank, gallery = retrieve(ctx, "forget")
    reciprocal, first = 1 / rank, (rank == 1).astype(np.float64)
    n = gallery["gallery"]
    return MetricResult(
        {"MRR": float(reciprocal.mean()), "R@1": float(first.mean())},
        PerRow("forget", {"RetFail_MRR": reciprocal, "RetFail_R@1": first, "rank": rank}),
        {**gallery, "chance": {"RetFail_MRR": float((1 / np.arange(1, n + 1)).mean()), "RetFail_R@1": 1 / n}},
    )


def retrieve(ctx: MetricContext, split: Split) -> tuple[Array, dict[str, int]]:
    """Rank of each row's caption among captions of its split and of retain_disjoint, drawn once for all rows.

    Args:
        ctx: Reads ``split`` and ``retain_disjoint``.
        split: A split with people in it.

    Returns:
        Ranks ``[n]`` from 1, and facts about the gallery.
    """
    captions = ctx.captions(split)
    own, retain = draw_gallery(captions, ctx.captions("retain_disjoint"))
    drawn = set(own)
    pairs = ctx.embeddings(split)
    rank = ranks(pairs.image, pairs.text, ctx.texts([*own, *retain]), np.array([c in drawn for c in captions]))
    return rank, {
        "gallery": 1 + len(own) + len(retain),
        f"drawn_from_{split}": len(own),
        "drawn_from_retain_disjoint": len(retain),
        "seed": SEED,
    }


def draw_gallery(own: Iterable[str], retain: Iterable[str]) -> tuple[list[str], list[str]]:
    """At most `POOL` distinct captions of each set, none of them in both; row order does not matter."""
    source = np.random.PCG64(SEED)
    left = set(own)
    pools = (sorted(left), sorted(set(retain) - left))
    first, second = ([pool[i] for i in random_order(source, len(pool))[:POOL]] for pool in pools)
    return first, second


def ranks(images: Tensor, own: Tensor, gallery: Tensor, drawn: NDArray[np.bool_]) -> Array:
    """1 + the other captions strictly above the own one + half of those exactly equal ``[n]``.

    Args:
        images: Embeddings ``[n, d]``.
        own: Embedding of each image's caption ``[n, d]``.
        gallery: Embeddings of the captions drawn ``[g, d]``.
        drawn: Whether the own caption is one of those drawn ``[n]``; it is then no other one.
    """
    size = len(gallery)
    left = vectors(images)
    right, which = distinct(np.concatenate([vectors(gallery), vectors(own)]))
    out = np.empty(len(left))
    for rows in chunks(len(left)):
        needed, place = np.unique(np.concatenate([which[:size], which[size:][rows]]), return_inverse=True)
        scores = left[rows].astype(np.float64) @ right[needed].astype(np.float64).T
        others = scores[:, place[:size]]
        mine = scores[np.arange(len(scores)), place[size:]][:, None]
        above = np.count_nonzero(others > mine, axis=1)
        equal = np.count_nonzero(others == mine, axis=1) - drawn[rows]
        out[rows] = 1 + above + equal / 2
    return out
