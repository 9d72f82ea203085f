"""Where captions rank for an image: cosines in float64, wherever float32 can't tell two of them apart."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salmu_protocol_metrics.arrays import Array, Index, chunks, cosines_of, distinct, highest, pair_cosines, vectors

#: Captions kept of what is found for an image, for people to look at.
SHOWN = 5
#: Rows taken at a time, to bound memory; with fewer, the product takes longer.
ROWS = 1024
#: Captions of a row that float32 can't tell apart, at most, for which float64 is asked one by one.
OPEN = 16
#: Parts of the gallery whose best captions say how good one must be to be shown.
PARTS = 40

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def search(images: Tensor, own: Tensor, gallery: Tensor, copies: Index, like: int) -> tuple[Array, Array, Index, Array]:
    """Look for each image's caption among the gallery's.

    Args:
        images: Embeddings ``[n, d]``.
        own: Embedding of each image's caption ``[n, d]``.
        gallery: Embeddings of the captions drawn ``[g, d]``.
        copies: How often the own caption is among those drawn, and among those of its kind ``[2, n]``; that is then no
            other one.
        like: How many captions of the gallery, the first ones, are of the own one's kind.

    Returns:
        Ranks ``[n]``: 1 + the other captions strictly above the own one + half of those exactly equal; the same among
        captions of its kind ``[n]``. The captions that come first ``[n, SHOWN]``, as numbers in the gallery, or ``g``
        for the own one; exactly equal ones in the gallery's order, the own one last. Their cosines ``[n, SHOWN]``.
    """
    left, right, mine = vectors(images), vectors(gallery), pair_cosines(images, own)
    shown, slack = min(SHOWN, len(right)), _rounding(left, right)
    ranks, first = np.empty((2, len(left))), np.empty((len(left), shown), np.int64)
    cosines, clear = np.empty((len(left), shown)), np.empty(len(left), np.bool_)
    for rows in chunks(len(left), ROWS):
        screen = _Screen(left[rows], right, mine[rows], copies[0, rows] > 0, slack)
        for rank, size, own_ones in zip(ranks, (len(right), like), copies, strict=True):
            rank[rows] = screen.ranks(size, own_ones[rows])
        first[rows], cosines[rows] = screen.first(shown)
        clear[rows] = screen.clear
    if not clear.all():
        texts = vectors(own)[~clear]
        ranks[:, ~clear], first[~clear], cosines[~clear] = _exact(left[~clear], texts, right, copies[:, ~clear], like)
    return ranks[0], ranks[1], first, cosines


class _Screen:
    """Some rows of a search, by a product in float32, and in float64 one by one what this leaves open.

    Args:
        left: Images ``[n, d]``.
        right: The gallery ``[g, d]``.
        mine: Cosine of each image with its own caption ``[n]``.
        drawn: Whether that is in the gallery ``[n]``.
        slack: More than float32 may be off.

    Attributes:
        clear: Rows ``[n]`` for which float32 leaves little open; what the others get has no meaning.
    """

    def __init__(self, left: Floats, right: Floats, mine: Array, drawn: Flags, slack: float) -> None:
        self._left, self._right, self._mine, self._drawn = left, right, mine, drawn
        near = left @ right.T
        self._above = near > (mine + slack)[:, None].astype(np.float32)
        around = near >= (mine - slack)[:, None].astype(np.float32)
        around ^= self._above
        best = near >= (_bar(near) - np.float32(2 * slack))[:, None]
        self.clear = (_counts(around) <= OPEN) & (_counts(best) <= OPEN)
        around[~self.clear] = best[~self.clear] = False
        row, column, cosines = self._cosines(around)
        self._above[row, column] = cosines > mine[row]
        tied = cosines == mine[row]
        self._tied = row[tied], column[tied]
        self._best = self._cosines(best)

    def ranks(self, size: int, copies: Index) -> Array:
        """Rank of each row's caption ``[n]`` among the first ones of the gallery, of which so many are itself."""
        row, column = self._tied
        tied = np.bincount(row[column < size], minlength=len(self._left)) - copies
        ranks: Array = 1 + _counts(self._above[:, :size]) + tied / 2
        return ranks

    def first(self, shown: int) -> tuple[Index, Array]:
        """The captions that come first ``[n, shown]``, and their cosines."""
        n, behind = len(self._left), len(self._right)
        row, column, values = self._best
        place = np.arange(len(row)) - np.searchsorted(row, row)
        columns, cosines = np.full((n, OPEN + 1), behind), np.full((n, OPEN + 1), -np.inf)
        columns[row, place], cosines[row, place] = column, values
        cosines[~self._drawn, -1] = self._mine[~self._drawn]
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :shown]
        return np.take_along_axis(columns, order, 1), np.take_along_axis(cosines, order, 1)

    def _cosines(self, wanted: Flags) -> tuple[Index, Index, Array]:
        """Rows and columns that are set, in order, and their cosines."""
        # Many times as fast as looking for them in two dimensions.
        row, column = np.divmod(np.flatnonzero(wanted), wanted.shape[1])
        return row, column, cosines_of(self._left, self._right, row, column)


def _counts(flags: Flags) -> Index:
    """How many are set in each row."""
    counts: Index = np.add.reduce(flags.view(np.uint8), axis=1, dtype=np.uint32)
    return counts


def _bar(near: Floats) -> Floats:
    """What at least `SHOWN` values of each row reach, or all if there are fewer: the best ones of parts do."""
    parts = min(PARTS, near.shape[1])
    width = near.shape[1] // parts
    best = torch.from_numpy(near)[:, : parts * width].view(-1, parts, width).amax(2)
    bar: Floats = best.topk(min(SHOWN, parts)).values[:, -1].numpy()
    return bar


def _rounding(left: Floats, right: Floats) -> float:
    """More than a product in float32 may be off, in whatever order it is summed (Higham 2002, section 3.1)."""
    longest = [float(np.sqrt(np.einsum("ij,ij->i", rows, rows).max(initial=0))) for rows in (left, right)]
    return float(1.1 * (left.shape[1] + 2) * 2.0**-24 * longest[0] * longest[1])


def _exact(left: Floats, own: Floats, gallery: Floats, copies: Index, like: int) -> tuple[Array, Index, Array]:
    """What `search` returns, by a product in float64."""
    size = len(gallery)
    shown = min(SHOWN, size)
    right, which = distinct(np.concatenate([gallery, own]))
    ranks = np.empty((2, len(left)))
    first, cosines = np.empty((len(left), shown), np.int64), np.empty((len(left), shown))
    for rows in chunks(len(left)):
        needed, place = np.unique(np.concatenate([which[:size], which[size:][rows]]), return_inverse=True)
        scores = left[rows].astype(np.float64) @ right[needed].astype(np.float64).T
        others = scores[:, place[:size]]
        mine = scores[np.arange(len(scores)), place[size:]][:, None]
        for rank, among, own_ones in zip(ranks, (others, others[:, :like]), copies, strict=True):
            above = np.count_nonzero(among > mine, axis=1)
            equal = np.count_nonzero(among == mine, axis=1) - own_ones[rows]
            rank[rows] = 1 + above + equal / 2
        everything = np.column_stack([others, np.where(copies[0, rows][:, None], -np.inf, mine)])
        first[rows] = best = highest(everything, shown)
        cosines[rows] = np.take_along_axis(everything, best, axis=1)
    return ranks, first, cosines
