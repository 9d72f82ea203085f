"""Counts what a run draws and ends its budget."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.features import PoolName
from salmu_core.contract.progress import OnScalar
from salmu_core.errors import BudgetExceededError, MethodError
from salmu_core.store.records import FitRecord, Ledger
from salmu_core.train.observer import UNSEEN

#: Points kept of each of a loop's curves.
LOG_POINTS = 200
#: What is counted by a number.
_FORWARD = ("forward_passes", "forward_images", "forward_captions")
_COUNTS = (*_FORWARD, "backward_passes", "steps", "probes", "passes", "replaced", "embedded")


class Meter:
    """The ledger while it is being written.

    Args:
        budget: B; a method may draw B x ``num_forget`` forget pairs, and as many retain pairs.
        num_forget: Size of the forget set.
        on_scalar: Is told of every scalar that is logged.

    Attributes:
        cap: Pairs of each pool that may be drawn in all.
        drawn: Pairs of each pool that were drawn.
        embedded: Forget captions that were trained on as mere texts.
        replaced: Pairs of a stream that stood in for others.
        referenced: Rows of each pool whose embeddings under the original were asked for.
        fits: What each call of ``fit`` was told.
        scalars: Name -> (step, value) of everything logged.
        logged: Number of scalars that were logged.
        heard: Up to this number they are known: a step that is made again logs them again.
        passes: Passes over a set that were begun.
        begun: Steps made before the model was last put back to where it began; what is drawn counts from there.
        began: When the run began, by ``time.perf_counter``.
        seconds_apart: Spent in ``on_scalar`` or on saving; they are not the method's.
    """

    def __init__(self, budget: float, num_forget: int, on_scalar: OnScalar = UNSEEN.on_scalar) -> None:
        self.cap = int(budget * num_forget + 1e-9)
        self.drawn: dict[PoolName, int] = {"forget": 0, "retain": 0}
        self.embedded = 0
        self.replaced = 0
        self.referenced: dict[PoolName, set[int]] = {}
        self.forward_passes = 0
        self.forward_images = 0
        self.forward_captions = 0
        self.backward_passes = 0
        self.steps = self.begun = 0
        self.probes = 0
        self.passes = 0
        self.fits: list[FitRecord] = []
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.logged = self.heard = 0
        self.began, self.seconds_apart = time.perf_counter(), 0.0
        self._on_scalar = on_scalar

    def room(self, pool: PoolName) -> int:
        """Pairs of a pool that may still be drawn."""
        return self.cap - self.drawn[pool]

    def affordable(self, size: int, before: Mapping[PoolName, int], steps: int | None) -> int:
        """Steps of a training whose first one has been drawn.

        Args:
            size: Pairs of each pool in a step.
            before: What was drawn of each pool before that one: the training draws from those that it has drawn since.
            steps: How many are wanted; by default as many as there is room for.
        """
        drawn = [pool for pool, samples in self.drawn.items() if samples > before[pool]]
        most = 1 + min(map(self.room, drawn)) // size if drawn else max(1, self.cap // size)
        return most if steps is None else min(steps, most)

    def portion(self, pool: PoolName, size: int, steps: int | None, share: float | None) -> tuple[int, int | None]:
        """Pairs of a batch, and how many batches: those that were asked for, in a share of what is left of a pool.

        Raises:
            MethodError: The share is none, or there are no steps.
        """
        if steps is not None and steps < 1:
            raise MethodError(f"steps={steps}: must be at least 1")
        if share is None:
            return size, steps
        if not 0 < share <= 1:
            raise MethodError(f"share={share!r}: a number above 0, up to 1")
        most = max(1, int(share * self.room(pool)))
        size = min(size, most)
        return size, min(most // size, steps or most)

    def check_ended(self, error: BudgetExceededError, first: int, before: Mapping[PoolName, int], size: int) -> None:
        """That a training which ended for want of room made no step, and another one could.

        Args:
            first: Steps that were made before it.
            before: What was drawn before it, which holds again.
            size: Pairs of each set in a step.

        Raises:
            BudgetExceededError: It drew more than it was reckoned with.
            MethodError: There never was room for a batch.
        """
        if self.steps > first:
            raise BudgetExceededError(
                f"{error}. Here a loss drew more than its first step did, by which fit() reckons its steps: look "
                "at each set in the first step already, or give fit(steps=...)"
            ) from error
        self.drawn.update(before)
        if size > self.cap:
            raise MethodError(
                f"the budget has no room for a batch: {size} pairs a step, {self.cap} allowed in all; "
                "raise --budget or lower batch_size"
            ) from error

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

    def embed(self, captions: int) -> None:
        """Record that forget captions are trained on as mere texts.

        Raises:
            MethodError: They are more than forget pairs were drawn.
        """
        count, drawn = self.embedded + captions, self.drawn["forget"]
        if captions and count > drawn:
            raise MethodError(
                f"embed_texts() was given {count} forget captions in all, and {drawn} forget pairs were drawn: a "
                "budget counts captions too, as the model reads them, cut to its context. Draw them, by step.forget "
                "or ctx.batches, or give other texts; ctx.tokenize() says which read alike"
            )
        self.embedded = count

    def refer(self, pool: PoolName, rows: Iterable[int]) -> None:
        """Record that the original's embeddings of rows are asked for; the same for whoever made them, and when."""
        self.referenced.setdefault(pool, set()).update(rows)

    def begin_fit(self, batch_size: int, config: TrainingConfig) -> None:
        """Record that a training loop begins.

        Args:
            batch_size: Pairs of each set in a step.
        """
        settings = config.model_dump(mode="json")
        self.fits.append(FitRecord(first_step=self.steps, batch_size=batch_size, settings=settings))

    def log(self, name: str, value: float, step: int) -> None:
        """Keep a scalar for the run's record.

        Raises:
            MethodError: It can't stand in a record: the name is no text, the step no whole number, or the value
                NaN or infinite.
        """
        if not isinstance(name, str) or not isinstance(step, int) or not math.isfinite(value):
            raise MethodError(f"log({name!r}, {value!r}, step={step!r}): a text, a finite number, a whole number")
        self.logged += 1
        if self.logged <= self.heard:
            return
        self.scalars.setdefault(name, []).append((step, value))
        start = time.perf_counter()
        self._on_scalar(name, value, step)
        self.seconds_apart += time.perf_counter() - start

    def log_curves(self, first: int, done: int, steps: int, values: Mapping[str, float]) -> None:
        """Keep a loop's figures for the run's record, of some of its steps.

        Args:
            first: Steps made before the loop.
            done: Steps of the loop.
            steps: Steps of it in all.
            values: Figures by name.
        """
        if done % max(1, steps // LOG_POINTS) == 0 or done in (1, steps):
            for name, value in values.items():
                self.log(name, value, first + done)

    @property
    def seconds(self) -> float:
        """What the run took so far, but for what is not the method's."""
        return time.perf_counter() - self.began - self.seconds_apart

    def state(self) -> dict[str, Any]:
        """Everything that is counted and kept, as JSON can hold it."""
        return {
            "counts": {name: getattr(self, name) for name in _COUNTS},
            "drawn": dict(self.drawn),
            "referenced": {pool: sorted(map(int, rows)) for pool, rows in self.referenced.items()},
            "fits": [fit.model_dump(mode="json") for fit in self.fits],
            "scalars": {name: list(points) for name, points in self.scalars.items()},
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave; who is told of scalars is told of those that are new here."""
        for name, count in state["counts"].items():
            setattr(self, name, count)
        self.drawn.update(state["drawn"])
        self.referenced = {pool: set(rows) for pool, rows in state["referenced"].items()}
        self.fits = [FitRecord.model_validate(fit) for fit in state["fits"]]
        told = {name: len(points) for name, points in self.scalars.items()}
        self.scalars = {name: [(step, value) for step, value in points] for name, points in state["scalars"].items()}
        new = [
            (step, name, value) for name, points in self.scalars.items() for step, value in points[told.get(name, 0) :]
        ]
        for step, name, value in sorted(new, key=lambda point: point[0]):
            self._on_scalar(name, value, step)
        self.seconds_apart = time.perf_counter() - self.began - state["seconds"]

    def ledger(self, seconds: float, peak_memory_bytes: int, weights_changed: float) -> Ledger:
        """What the run cost, with what is known of it elsewhere.

        Args:
            seconds: It took, those that are not the method's included.
            peak_memory_bytes: The most it held.
            weights_changed: Share of the weights that differ from Compromised's.
        """
        return Ledger(
            forget_samples=self.drawn["forget"],
            retain_samples=self.drawn["retain"],
            retain_replaced=self.replaced,
            reference_samples=sum(map(len, self.referenced.values())),
            forward_passes=self.forward_passes,
            forward_images=self.forward_images,
            forward_captions=self.forward_captions,
            backward_passes=self.backward_passes,
            steps=self.steps,
            probes=self.probes,
            seconds=round(seconds - self.seconds_apart, 3),
            peak_memory_bytes=peak_memory_bytes,
            weights_changed=weights_changed,
        )
