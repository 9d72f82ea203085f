"""What the metrics share: cosines in float64, exact ties, and draws that are the same everywhere."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Index = NDArray[np.int64]

#: Everything that is drawn is drawn with this seed.
SEED = 42
#: Rows taken at a time, to bound memory.
CHUNK = 512


def vectors(embeddings: Tensor) -> NDArray[np.float32]:
    """Embeddings ``[n, d]`` as an array.

    Raises:
        ValueError: One is NaN or infinite; comparisons would quietly make a figure of it.
    """
    array: NDArray[np.float32] = embeddings.numpy()
    if not np.isfinite(array).all():
        raise ValueError("the model embeds a row as NaN or infinite")
    return array


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """``range(n)`` in slices of at most ``size``."""
    return (slice(start, start + size) for start in range(0, n, size))


def pair_cosines(images: Tensor, texts: Tensor) -> Array:
    """Cosine of each image with the text of the same row ``[n]``."""
    left, right = vectors(images), vectors(texts)
    out = np.empty(len(left))
    for rows in chunks(len(left)):
        # A product of two float32 is exact in float64, and the order of this sum depends on d alone.
        out[rows] = (left[rows].astype(np.float64) * right[rows].astype(np.float64)).sum(axis=1)
    return out


def cosines_of(left: NDArray[np.float32], right: NDArray[np.float32], row: Index, other: Index) -> Array:
    """Cosines of some rows with some others ``[k]``, the same bits as `pair_cosines` gives."""
    out = np.empty(len(row))
    for part in chunks(len(row), 128):  # as much as stays near the processor
        products = left[row[part]].astype(np.float64)
        products *= right[other[part]]
        out[part] = products.sum(axis=1)
    return out


def distinct(rows: NDArray[np.floating]) -> tuple[NDArray[np.floating], Index]:
    """The distinct rows, and for each row ``[n]`` which of them it is.

    A matrix product may treat the last columns differently from the first, so equal vectors need not get
    equal bits from it. Where each distinct vector is multiplied once, they do.
    """
    which = numbered(row.tobytes() for row in rows)
    _, first = np.unique(which, return_index=True)
    return rows[first], which


def numbered(items: Iterable[Hashable]) -> Index:
    """For each item ``[n]`` its number among the distinct ones, in order of first appearance."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(item, len(seen)) for item in items], dtype=np.int64)


def top1(images: Tensor, classes: NDArray[np.floating], labels: Index) -> Array:
    """1 where the label's class has the highest cosine, 1/k where it ties exactly with k - 1 others, else 0.

    Args:
        images: Embeddings ``[n, d]``.
        classes: Embedding of each class ``[c, d]``.
        labels: Class number of each image ``[n]``.
    """
    left = vectors(images)
    right, which = distinct(classes)
    right = right.astype(np.float64).T
    out = np.empty(len(left))
    for rows in chunks(len(left)):
        scores = (left[rows].astype(np.float64) @ right)[:, which]
        best = scores == scores.max(axis=1, keepdims=True)
        out[rows] = best[np.arange(len(best)), labels[rows]] / best.sum(axis=1)
    return out


def highest(scores: Array, k: int) -> Index:
    """Columns of each row's ``k`` highest scores ``[n, k]``, the highest first; equal ones from left to right."""
    bar = np.partition(scores, -k, axis=1)[:, -k, None]
    row, column = np.nonzero(scores >= bar)  # more than k only where some are equal
    order = np.lexsort((column, -scores[row, column], row))
    start = np.searchsorted(row, np.arange(len(scores)))
    first: Index = column[order][start[:, None] + np.arange(k)]
    return first


def random_order(source: np.random.PCG64, n: int) -> Index:
    """A random permutation of ``range(n)``.

    It is made of the generator's raw 64-bit numbers, whose sequence is fixed; the algorithms of
    ``numpy.random.Generator`` may change from one version of numpy to the next.
    """
    order: Index = np.argsort(source.random_raw(n), kind="stable")
    return order
