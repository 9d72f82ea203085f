"""RetFail: where a forget image's caption ranks among captions drawn once for all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from salmu_core import MetricContext, MetricResult, PerRow, Ranks, Retrieved, Split
from salmu_protocol_metrics.arrays import SEED, Array, Index, random_order
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
    details: dict[str, int | str]


def search_split(ctx: MetricContext, split: Split) -> Found:
    """Rank each row's caption among captions of its split and of retain_disjoint, drawn once for all rows.

    Args:
        ctx: Reads ``split`` and ``retain_disjoint``; its setting ``draw`` is one of `DRAWS`, by default ``distinct``.
        split: A split with people in it.

    Raises:
        ValueError: The benchmark sets something else.
    """
    draw = str({"draw": "distinct", **ctx.settings}["draw"])
    if draw not in DRAWS or ctx.settings.keys() - {"draw"}:
        raise ValueError(f"the benchmark sets {dict(ctx.settings)}; what can be set is draw: {' or '.join(DRAWS)}")
    captions = ctx.captions(split)
    own, retain = DRAWS[draw](captions, ctx.captions("retain_disjoint"))
    texts = [*own, *retain]
    pairs, gallery = ctx.embeddings(split), ctx.texts(texts)
    copies = np.array([[times[caption] for caption in captions] for times in (Counter(texts), Counter(own))])
    number: dict[str, int] = {}
    for text in (*texts, *captions):
        number.setdefault(text, len(number))
    rank, private, found, cosines = search(pairs.image, pairs.text, gallery, copies, len(own))
    row, place = np.nonzero(found == len(texts))
    found = np.array([*(number[text] for text in texts), -1])[found]
    found[row, place] = [number[captions[i]] for i in row]
    found, cosines = _once(found, cosines)
    return Found(
        Ranks(split, rank, 1 + len(own) + len(retain), (private, 1 + len(own))),
        Retrieved(split, tuple(number), found, cosines),
        {f"drawn_from_{split}": len(own), "drawn_from_retain_disjoint": len(retain), "seed": SEED, "draw": draw},
    )


def draw_gallery(own: Iterable[str], retain: Iterable[str]) -> tuple[list[str], list[str]]:
    """At most `POOL` distinct captions of each set, none of them in both; row order does not matter."""
    source = np.random.PCG64(SEED)
    left = set(own)
    pools = (sorted(left), sorted(set(retain) - left))
    first, second = ([pool[i] for i in random_order(source, len(pool))[:POOL]] for pool in pools)
    return first, second


def draw_rows(own: Sequence[str], retain: Sequence[str]) -> tuple[list[str], list[str]]:
    """At most `POOL` rows of each set, as the authors' evaluator draws them: a caption may stand in both, and twice.

    It asks numpy's global generator, seeded once, for the first set's rows and then for the second's; the legacy
    generator of a seed gives the same numbers in every version of numpy.
    """
    source = np.random.RandomState(SEED)
    draws = [source.choice(len(rows), min(POOL, len(rows)), replace=False) for rows in (own, retain)]
    return [own[i] for i in draws[0]], [retain[i] for i in draws[1]]


#: Ways to draw a gallery that a benchmark can set: ours, and that of SALMUBench's authors.
DRAWS = {"distinct": draw_gallery, "rows": draw_rows}


def _once(found: Index, cosines: Array) -> tuple[Index, Array]:
    """What is found for each image, each caption once, and -1 in the last places for what stood there again."""
    again = np.array([(found[:, :k] == found[:, k, None]).any(axis=1) for k in range(found.shape[1])]).T
    order = np.argsort(again, axis=1, kind="stable")
    return np.take_along_axis(np.where(again, -1, found), order, 1), np.take_along_axis(cosines, order, 1)
