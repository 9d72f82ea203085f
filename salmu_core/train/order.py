"""Which pair is drawn when: endless reshuffled epochs, every draw a pure function of its number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from salmu_core.train.seeding import seed_of


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
        found = []
        while start < stop:
            epoch, place = divmod(start, self.total)
            _, ends = self._epoch(epoch)
            window = int(np.searchsorted(ends, place, side="right"))
            begin = int(ends[window - 1]) if window else 0
            rows = self._window(epoch, window)[place - begin : place - begin + stop - start]
            found.append(rows)
            start += len(rows)
        return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)

    def _cut(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Parts of each window, and the place in the epoch where it ends."""
        rng = np.random.default_rng(seed_of(*self._key, "parts", epoch))
        windows: list[list[int]] = []
        filled = 0
        for part in rng.permutation(np.flatnonzero(self._sizes)):
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
        rng = np.random.default_rng(seed_of(*self._key, "pairs", epoch, window))
        mixed: np.ndarray = rows[rng.permutation(len(rows))]
        return mixed


def sensitive_until(step: int, steps: int, draws: int) -> int:
    """Sensitive pairs drawn before a step, spread evenly over the training; exactly ``draws`` at its end."""
    return step * draws // steps


def share(total: int, rank: int, world: int) -> tuple[int, int]:
    """Where one process's part of ``total`` pairs begins and ends; parts differ by one pair at most."""
    return rank * total // world, (rank + 1) * total // world
