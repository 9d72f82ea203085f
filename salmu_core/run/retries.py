"""A loss called step by step, and for the same step once more where memory ran out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator

from salmu_core.contract.steps import Step
from salmu_core.run.meter import Meter
from salmu_core.run.random_states import random_states, set_random_states
from salmu_core.train.loop import Terms


class Retries:
    """Gives a loss its steps. One that is asked for again is the same: its rows, random numbers and what it logs.

    Args:
        loss: What is called; given what ``steps`` makes.
        steps: Makes a step by its number.
        device: Where the model is; its global generator is the towers'.
        meter: Counts; what a step logs again is not kept twice.
    """

    def __init__(
        self,
        loss: Callable[[Step], Terms],
        steps: Callable[[int], Step],
        *,
        rng: Generator,
        device: torch.device,
        meter: Meter,
    ) -> None:
        self._loss, self._steps, self._meter = loss, steps, meter
        self._rng, self._device = rng, device
        self._number, self._logged = -1, 0

    def __call__(self, number: int) -> Terms:
        """The loss of a step: a new one, or the last one again."""
        meter = self._meter
        if number != self._number:
            self._number, self._step, self._logged = number, self._steps(number), 0
            self._start, self._embedded = random_states(self._rng, self._device), meter.embedded
        else:
            set_random_states(self._rng, self._device, *self._start)
            meter.embedded = self._embedded
        meter.logged, meter.heard = 0, self._logged
        try:
            return self._loss(self._step)
        finally:
            self._logged, meter.heard = max(self._logged, meter.logged), 0
