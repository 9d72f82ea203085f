"""Which pair is drawn when: endless reshuffled epochs, every draw a pure function of its number.

Rows that lie in memory are shuffled as one (`rows_at`). Rows that lie in files are shuffled window by window
(`Order`), so that few files are in use at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from salmu_core.train.seeding import permutation

#: Rows a frozen model embeds at a time, and those of a stream that are drawn one after another. Fixed, because the
#: composition of a batch shows in the last bits.
CHUNK = 256


def rows_at(n: int, batch_size: int, step: int, *parts: object) -> np.ndarray:
    """Row numbers ``[batch_size]`` of one step: reshuffled epochs of ``range(n)``, cut into whole batches.

    What is left of an epoch after its last whole batch is dropped, so no batch holds a row twice. A pure function of
    its arguments: any step can be drawn without those before it.

    Args:
        n: Number of rows, at least ``batch_size``.
        parts: Whatever else the order depends on.
    """
    epoch, batch = divmod(step, n // batch_size)
    return permutation(n, *parts, epoch)[batch * batch_size : (batch + 1) * batch_size].copy()


class Order:
    """Draws from parts (shards) of given sizes, epoch after epoch, each pair once an epoch.

    Per epoch the parts are shuffled, cut into windows of about ``shuffle`` pairs, and the pairs of a window are
    shuffled: so at any time few parts are in use, however many there are.

    Args:
        sizes: Pairs of each part.
        shuffle: Pairs of a window; a part that is larger is a window of its own.
        key: Whatever else the order depends on: a seed, a name.
    """

    def __init__(self, sizes: Sequence[int], shuffle: int, *key: object) -> None:
        self._sizes = np.asarray(sizes, dtype=np.int64)
        self._shuffle = shuffle
        self._key = key
        self.total = int(self._sizes.sum())
        # Caches of this object alone; two of each, since a batch may lie across a border.
        self._epoch = lru_cache(maxsize=2)(self._cut)
        self._window = lru_cache(maxsize=2)(self._mix)

    def __reduce__(self) -> tuple[Any, ...]:
        return Order, (self._sizes, self._shuffle, *self._key)  # caches stay where they are

    def at(self, start: int, stop: int) -> np.ndarray:
        """Draws ``start`` to ``stop``, as (part, place in the part): int64 ``[stop - start, 2]``."""
        drawn = []
        while start < stop:
            epoch, place = divmod(start, self.total)
            _, ends = self._epoch(epoch)
            window = int(np.searchsorted(ends, place, side="right"))
            begin = int(ends[window - 1]) if window else 0
            rows = self._window(epoch, window)[place - begin : place - begin + stop - start]
            drawn.append(rows)
            start += len(rows)
        return np.concatenate(drawn) if drawn else np.empty((0, 2), dtype=np.int64)

    def _cut(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Parts of each window, and the place in the epoch where it ends."""
        windows: list[list[int]] = []
        filled = 0
        parts = np.flatnonzero(self._sizes)
        for part in parts[permutation(len(parts), *self._key, "chunks", epoch)]:
            size = int(self._sizes[part])
            if not windows or filled + size > self._shuffle:
                windows.append([])
                filled = 0
            windows[-1].append(int(part))
            filled += size
        cut = [np.array(window, dtype=np.int64) for window in windows]
        return cut, np.cumsum([self._sizes[window].sum() for window in cut])

    def _mix(self, epoch: int, window: int) -> np.ndarray:
        parts = self._epoch(epoch)[0][window]
        sizes = self._sizes[parts]
        places = np.concatenate([np.arange(size) for size in sizes])
        rows = np.stack([np.repeat(parts, sizes), places], axis=1)
        mixed: np.ndarray = rows[permutation(len(rows), *self._key, "within", epoch, int(parts[0]))]
        return mixed


@lru_cache(maxsize=8)
def _chunked(n: int, *key: object) -> Order:
    """The order of a file of ``n`` rows, whose chunks are its parts; the last one may be short."""
    return Order([min(CHUNK, n - start) for start in range(0, n, CHUNK)], CHUNK, *key)


def streamed(n: int, batch: int, step: int, *parts: object) -> np.ndarray:
    """Row numbers ``[batch]`` of one step of a stream of ``n`` rows: chunk after chunk, both shuffled.

    Neighbours in a file are drawn soon after each other, so that reading goes along the disk and the original embeds
    what is used. A pure function of its arguments, as `rows_at`, and as there no batch holds a row twice.

    Args:
        n: Number of rows, at least ``batch``.
        parts: Whatever else the order depends on.
    """
    epoch, place = divmod(step, n // batch)
    start = epoch * n + place * batch
    chunks, places = _chunked(n, *parts).at(start, start + batch).T
    rows: np.ndarray = chunks * CHUNK + places
    return rows
