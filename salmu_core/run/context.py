"""What stands behind a MethodContext during one run: model, data, meter and loop, put together once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.features import Features, Pairs, PoolName
from salmu_core.contract.probe import Probe
from salmu_core.contract.progress import OnStep
from salmu_core.contract.steps import Batch, Step
from salmu_core.errors import MethodError
from salmu_core.losses import features
from salmu_core.run.meter import Meter
from salmu_core.run.pool import Pool
from salmu_core.train.loop import checked, fit, training
from salmu_core.train.seeding import generator

#: A loss with its context bound.
StepLoss = Callable[[Step], Tensor | Mapping[str, Tensor]]

#: Points kept of each logged loss term.
LOG_POINTS = 200


class Engine:
    """One run's working parts.

    Args:
        model: The model to change, on the accelerator's device.
        reference: The frozen original.
        pools: The forget and the retain set.
        config: The method's validated configuration.
        seed: The run's seed.
        meter: The ledger.
        accelerator: Device and precision.
        num_train: Pairs Compromised was trained on.
        on_step: Told of every step of `fit`.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        reference: nn.Module,
        pools: Mapping[PoolName, Pool],
        config: Any,
        seed: int,
        meter: Meter,
        accelerator: Accelerator,
        num_train: int,
        on_step: OnStep | None = None,
    ) -> None:
        self.model = model
        self.reference = reference
        self.meter = meter
        self.num_train = num_train
        self.device = accelerator.device
        self.rng = generator("run", seed)
        self._pools = pools
        self._config = config
        self._seed = seed
        self._accelerator = accelerator
        self._on_step = on_step
        self._passes = 0

    def pairs(self, pool: PoolName) -> Pairs:
        return self._pools[pool].pairs

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        return self._pools["forget"].tokenize(captions)

    def randn_like(self, tensor: Tensor) -> Tensor:
        # Drawn on the CPU, so that the same seed gives the same noise on every device.
        noise = torch.randn(tensor.shape, generator=self.rng, dtype=torch.float32)
        return noise.to(device=tensor.device, dtype=tensor.dtype)

    def reference_features(self, batch: Batch) -> Features:
        found, embedded = self._pools[batch.pool].reference_features(batch.index)
        self.meter.reference_samples += embedded
        return found

    def fit(
        self,
        loss: StepLoss,
        steps: int | None,
        draws: Collection[PoolName],
        params: Callable[[str], bool] | None,
        grad_mask: Mapping[str, Tensor] | None,
        captions: Sequence[str] | None,
        config: TrainingConfig | None,
    ) -> int:
        config = self._training_config(config)
        if captions is not None and len(captions) != len(self._pools["forget"]):
            raise MethodError(
                f"fit(captions=...) needs one caption for each of the {len(self._pools['forget'])} forget rows, "
                f"not {len(captions)}"
            )
        size = self._batch_size(config.batch_size)
        affordable = min((self.meter.room(pool) for pool in draws), default=self.meter.cap) // size
        if affordable == 0 and not self.meter.steps:
            raise MethodError(
                f"the budget has no room for a batch: {size} pairs a step, {self.meter.cap} allowed in all; "
                "raise --budget or lower batch_size"
            )
        steps = affordable if steps is None else min(steps, affordable)
        first = self.meter.steps
        every = max(1, steps // LOG_POINTS)

        def objective(step: int) -> Tensor | Mapping[str, Tensor]:
            return loss(self._step(first + step, size, captions))

        def on_step(done: int, of: int, values: Mapping[str, float]) -> None:
            if done % every == 0 or done in (1, of):
                for name, value in values.items():
                    self.meter.log(name, value, first + done)
            if self._on_step is not None:
                self._on_step(done, of, values)

        def counted(step: int) -> Tensor | Mapping[str, Tensor]:
            terms = objective(step)
            self.meter.steps += 1
            self.meter.backward_passes += 1
            return terms

        fit(
            self.model,
            counted,
            steps,
            config,
            self._accelerator,
            params=params,
            grad_mask=grad_mask,
            on_step=on_step,
        )
        return steps

    def gradients(self, loss: StepLoss, on: PoolName, power: int) -> dict[str, Tensor]:
        if power < 1:
            raise MethodError(f"gradients(power={power}): the power must be at least 1")
        size = self._batch_size(getattr(self._config, "batch_size", 64))
        steps = min(self._pools[on].batches(size), self.meter.room(on) // size)
        if steps == 0:
            raise MethodError(f"gradients(on={on!r}): the budget has no room for a batch of {size} pairs")
        salt = self._next_pass()
        with training(self.model) as trained:
            sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in trained.items()}
            for step in range(steps):
                with self._accelerator.autocast():
                    value = checked(loss(self._step(step, size, None, salt)))
                found = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
                self.meter.backward_passes += 1
                for name, gradient in zip(trained, found, strict=True):
                    if gradient is not None:
                        sums[name] += gradient.float().pow(power)
        return {name: value / steps for name, value in sums.items()}

    @contextmanager
    def edit(self) -> Iterator[dict[str, Tensor]]:
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        handed = dict(weights)
        with torch.no_grad():
            yield weights
        # `weights["x"] = y` binds a name and leaves the model as it was.
        if replaced := sorted(name for name in handed if weights.get(name) is not handed[name]):
            raise MethodError(
                f"edit(): {replaced[0]} was replaced by another tensor, which changes nothing; change it in place, "
                "as in w += x, w.mul_(x) or w.copy_(x)"
            )

    def batches(self, pool: PoolName, batch_size: int) -> Iterator[Batch]:
        found, size = self._pools[pool], self._pools[pool].room(batch_size)
        if not self.meter.room(pool):
            self.meter.charge(pool, size)  # says why, and ends the run
        for rows in found.one_pass(size, self._seed, pool, self._next_pass()):
            if not self.meter.room(pool):
                return
            yield self._draw(pool, rows[: self.meter.room(pool)], None)

    @torch.no_grad()
    def probe(self) -> Probe:
        self.meter.probes += 1
        mode = self.model.training
        self.model.eval()
        slices = {}
        for name in self._pools:
            pool = self._pools[name]
            slices[name] = features(self.model, Batch(pool, pool.probed))
        gallery = torch.cat([found.text for found in slices.values()])
        values, first = [], 0
        for found in slices.values():
            # Own and others' scores from one product: computed apart, they would differ in the last bits.
            scores = found.image @ gallery.T
            own = scores[:, first : first + len(scores)].diagonal()
            first += len(scores)
            above = (scores > own[:, None]).sum(dim=1)
            values += [float((1 / (1 + above)).mean()), float(own.mean())]
        self.model.train(mode)
        original = self.reference_features(Batch(self._pools["retain"], self._pools["retain"].probed))
        nearest = slices["retain"].similarity.argmax(dim=1)
        values.append(float((nearest == original.similarity.argmax(dim=1)).float().mean()))
        return Probe(*values)

    def _training_config(self, config: TrainingConfig | None) -> TrainingConfig:
        chosen = self._config if config is None else config
        if not isinstance(chosen, TrainingConfig):
            raise MethodError(
                "fit() needs optimizer settings: derive its config from TrainingConfig, or give fit(config=...)"
            )
        return chosen

    def _batch_size(self, batch_size: int) -> int:
        return min(pool.room(batch_size) for pool in self._pools.values())

    def _next_pass(self) -> str:
        self._passes += 1
        return f"pass {self._passes}"

    def _step(self, index: int, size: int, captions: Sequence[str] | None, salt: str = "fit") -> Step:
        def draw(pool: PoolName) -> Batch:
            chosen = self._pools[pool].draw(size, index, self._seed, pool, salt)
            return self._draw(pool, chosen, captions if pool == "forget" else None)

        def permute(n: int) -> Tensor:
            order = torch.randperm(n, generator=generator(self._seed, salt, index, n))
            return order.to(self.device)

        return Step(index, draw, permute)

    def _draw(self, pool: PoolName, rows: np.ndarray, captions: Sequence[str] | None) -> Batch:
        self.meter.charge(pool, len(rows))
        return Batch(self._pools[pool], rows, captions)
