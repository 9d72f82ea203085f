"""Counts what a run draws and ends its budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from salmu_core.contract.features import PoolName
from salmu_core.errors import BudgetExceededError, MethodError

#: Told of a scalar: name, value, step.
OnScalar = Callable[[str, float, int], None]


class Meter:
    """The ledger while it is being written.

    Args:
        budget: B; a method may draw B x ``num_forget`` forget pairs, and as many retain pairs.
        num_forget: Size of the forget set.
        on_scalar: Told of every scalar that is logged.
    """

    def __init__(self, budget: float, num_forget: int, on_scalar: OnScalar | None = None) -> None:
        self.cap = int(budget * num_forget + 1e-9)
        self.drawn: dict[PoolName, int] = {"forget": 0, "retain": 0}
        self.reference_samples = 0
        self.forward_passes = 0
        self.forward_images = 0
        self.forward_captions = 0
        self.backward_passes = 0
        self.steps = 0
        self.probes = 0
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.telling = 0.0  # seconds spent in on_scalar, which are not the method's
        self._on_scalar = on_scalar

    def room(self, pool: PoolName) -> int:
        """Pairs of a pool that may still be drawn."""
        return self.cap - self.drawn[pool]

    def charge(self, pool: PoolName, samples: int) -> None:
        """Record that pairs are drawn.

        Raises:
            BudgetExceededError: There is no room for them.
        """
        if samples > self.room(pool):
            raise BudgetExceededError(
                f"{self.drawn[pool] + samples} {pool} pairs were asked for; the budget allows {self.cap}. "
                "fit(), gradients() and a pass of batches() stop in time by themselves; ctx.budget says what is left"
            )
        self.drawn[pool] += samples

    def log(self, name: str, value: float, step: int) -> None:
        """Keep a scalar for the run's record.

        Raises:
            MethodError: It can't stand in a record: the name is no text, the step no whole number, or the value
                NaN or infinite.
        """
        if not isinstance(name, str) or not isinstance(step, int) or not math.isfinite(value):
            raise MethodError(f"log({name!r}, {value!r}, step={step!r}): a text, a finite number, a whole number")
        self.scalars.setdefault(name, []).append((step, value))
        if self._on_scalar is not None:
            start = time.perf_counter()
            self._on_scalar(name, value, step)
            self.telling += time.perf_counter() - start
