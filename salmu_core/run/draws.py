"""What a run draws: rows by seed and step, charged when asked for, on a card read a step ahead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from salmu_core.clip.model import moved
from salmu_core.contract.features import PoolName
from salmu_core.contract.steps import Batch, Drawable, Step
from salmu_core.run.ahead import Ahead, ahead
from salmu_core.run.meter import Meter
from salmu_core.run.pool import Pools
from salmu_core.train.seeding import generator


class Draws:
    """Steps and batches of one run."""

    def __init__(self, pools: Pools, seed: int, meter: Meter, device: torch.device) -> None:
        self._pools, self._seed, self._meter, self._device = pools, seed, meter, device
        self._ahead: Ahead | None = None

    @contextmanager
    def one_after_another(self) -> Iterator[None]:
        """A block that asks for steps in their order."""
        try:
            with ahead(self._device) as self._ahead:
                yield
        finally:
            self._ahead = None

    def step(self, index: int, size: int, salt: str = "fit") -> Step:
        """A step of ``size`` pairs of each set that it looks at."""

        def draw(pool: PoolName) -> Batch:
            held = self._pools[pool]

            def drawn(step: int) -> np.ndarray:
                return held.draw(size, step, self._seed, pool, salt)

            def sound(step: int) -> np.ndarray:
                return held.sound(drawn(step))

            source = held if self._ahead is None else self._ahead.drawn(held, index, sound)
            return self.batch(pool, drawn(index), source)

        def permute(n: int) -> Tensor:
            order = torch.randperm(n, generator=generator(self._seed, salt, index, n))
            return moved(order, self._device)

        return Step(index, draw, permute)

    def batch(self, pool: PoolName, rows: np.ndarray, source: Drawable | None = None) -> Batch:
        """Those rows of a set, or others for those whose images can't be decoded.

        Args:
            rows: Their numbers.
            source: What reads them; by default the set.
        """
        self._meter.charge(pool, len(rows))
        sound = self._pools[pool].sound(rows)
        self._meter.replaced += int((sound != rows).sum())
        return Batch(source or self._pools[pool], sound)

    def one_pass(self, pool: PoolName, size: int, salt: str) -> Iterator[Batch]:
        """A pass over a set in batches of ``size``, as far as the budget goes."""
        if not self._meter.room(pool):
            self._meter.charge(pool, size)  # says why, and ends the run
        for rows in self._pools[pool].one_pass(size, self._seed, pool, salt):
            if not self._meter.room(pool):
                return
            yield self.batch(pool, rows[: self._meter.room(pool)])
