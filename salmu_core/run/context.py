"""What a method is given during one run: model, data, budget and loop, put together once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator
from torch import Generator, Tensor, nn

from salmu_core.clip.model import moved
from salmu_core.clip.texts import encode_text
from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.context import C, MethodContext, Room
from salmu_core.contract.features import Features, Pairs, PoolName
from salmu_core.contract.model import ClipModel
from salmu_core.contract.probe import Probe
from salmu_core.contract.steps import Batch
from salmu_core.contract.wrapping import WrapperConfig
from salmu_core.errors import BudgetExceededError, MethodError
from salmu_core.run.draws import Draws
from salmu_core.run.edit import edited
from salmu_core.run.gradients import Gradients
from salmu_core.run.inputs import listed
from salmu_core.run.meter import Meter
from salmu_core.run.pool import common_batch
from salmu_core.run.probe import estimate, evaluating
from salmu_core.run.retries import Retries
from salmu_core.run.saves import Saves
from salmu_core.run.saving import Parts, saving
from salmu_core.run.session import TrainingSession
from salmu_core.run.texts import OwnCaptions, ReferenceTexts, TokenIds
from salmu_core.train.adapters import adapters, check_entered, parametrized
from salmu_core.train.compiled import Compiler
from salmu_core.train.gradients import mean_gradients
from salmu_core.train.loop import fit
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.pieces import Pieces
from salmu_core.train.seeding import generator
from salmu_core.train.surgery import passes

if TYPE_CHECKING:
    from salmu_core.contract.context import Loss, Transform


class RunContext(MethodContext[C]):
    """One run's working parts.

    Args:
        model: The model to change, on the accelerator's device.
        state: What the method left in the run that this one starts from.
        pieces: How much of a batch is embedded at a time; by default all.
        compiler: Compiles towers while they are trained; by default none does.
        saves: Where trainings are kept, if they are.
    """

    def __init__(
        self,
        config: C,
        *,
        model: nn.Module,
        reference: nn.Module,
        session: TrainingSession,
        seed: int,
        meter: Meter,
        accelerator: Accelerator,
        observer: Observer = UNSEEN,
        state: Mapping[str, Tensor] | None = None,
        pieces: Pieces | None = None,
        compiler: Compiler | None = None,
        saves: Saves | None = None,
    ) -> None:
        self._config, self._state = config, dict(state or {})
        self._model, self._reference = cast("Any", model), cast("Any", reference)
        self._pools, self._num_train, self._clip = session.pools, session.num_train, session.clip
        self._seed, self._rng, self._ids = seed, generator("run", seed), TokenIds(session.clip)
        self._meter, self._accelerator, self._observer = meter, accelerator, observer
        self._encode_text, self._own = partial(encode_text, model), OwnCaptions(session.pools, self._ids, meter)
        self._pieces, self._compiler = pieces or Pieces(model), compiler or Compiler()
        self._draws = Draws(session.pools, seed, meter, accelerator.device)
        self._attempts = partial(Retries, rng=self._rng, device=accelerator.device, meter=meter)
        self._blocks, self._texts = list[AbstractContextManager[None]](), ReferenceTexts(reference, self.tokenize)
        others = {id(part): type(part).__name__ for part in (self, reference, session, meter, accelerator)}
        changing = self._rng, self._state, self._texts, meter, self._pieces, accelerator
        self._saves, self._parts = saves, Parts(model, *changing, others)

    @property
    def config(self) -> C:
        return self._config

    @property
    def model(self) -> ClipModel:
        return cast("ClipModel", self._model)

    @property
    def reference(self) -> ClipModel:
        return cast("ClipModel", self._reference)

    @property
    def device(self) -> torch.device:
        return cast("torch.device", self._accelerator.device)

    @property
    def rng(self) -> Generator:
        return self._rng

    def randn_like(self, tensor: Tensor) -> Tensor:
        # Drawn on the CPU, so that the same seed gives the same noise on every device.
        noise = torch.randn(tensor.shape, generator=self._rng, dtype=torch.float32)
        return noise.to(device=tensor.device, dtype=tensor.dtype)

    @property
    def forget(self) -> Pairs:
        return self._pools["forget"].pairs

    @property
    def retain(self) -> Pairs:
        return self._pools["retain"].pairs

    @property
    def num_train(self) -> int:
        return self._num_train

    @property
    def budget(self) -> Room:
        return Room(self._meter.room("forget"), self._meter.room("retain"))

    @property
    def state(self) -> dict[str, Tensor]:
        return self._state

    def features(self, batch: Batch, *more: Batch) -> Any:
        images = self._pieces.encode_together(self._model.encode_image, [b.image for b in (batch, *more)])
        # One by one, as each batch is as long as its own longest caption.
        texts = [self._pieces.encode(self._encode_text, b.text) for b in (batch, *more)]
        pairs = tuple(map(Features, images, texts))
        return pairs if len(pairs) > 1 else pairs[0]

    def reference_features(self, batch: Batch) -> Features:
        original = self._pools[batch.pool].reference_features(batch.index)
        self._meter.refer(batch.pool, batch.index.tolist())
        own = self._pools[batch.pool].captions
        if any(caption != own[row] for caption, row in zip(batch.captions, batch.index, strict=True)):
            return replace(original, text=self.reference_texts(batch.captions))
        return original

    def embed_texts(self, captions: Sequence[str]) -> Tensor:
        ids = self._own.counted(self._ids.of(listed(captions)))
        return self._pieces.encode(self._encode_text, moved(ids, self.device))

    def reference_texts(self, captions: Sequence[str]) -> Tensor:
        return self._texts.of(listed(captions))

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        return moved(self._ids.of(listed(captions)), self.device)

    def vocabulary(self) -> Mapping[int, str]:
        return self._clip.vocabulary()

    def fit(
        self,
        loss: Loss,
        *,
        steps: int | None = None,
        params: Callable[[str], bool] | None = None,
        also: Mapping[str, nn.Module] | None = None,
        transform: Transform | None = None,
        config: TrainingConfig | None = None,
    ) -> int:
        check_entered(self._blocks)
        if steps is not None and steps < 1:
            return 0
        config, meter = self._training_config(config), self._meter
        first, before, size = meter.steps, dict(meter.drawn), self._batch_size(config.batch_size)
        attempts = self._attempts(partial(loss, self), lambda step: self._draws.step(first - meter.begun + step, size))

        def objective(step: int) -> Tensor | Mapping[str, Tensor]:
            self._compiler.begin()
            terms = attempts(step)
            if meter.steps == first + step:  # and not made again
                meter.steps += 1
                meter.backward_passes += passes(terms, transform)
            return terms

        keeping = saving(self._saves, self._parts, also, (loss, transform, params), steps)
        towers = self._compiler.towers(self._model, size, steps or meter.cap // size, whole=not self._pieces.size)
        try:
            with towers, self._draws.one_after_another(), keeping as kept:
                return fit(
                    self._model,
                    objective,
                    lambda: meter.affordable(size, before, steps),
                    config,
                    self._accelerator,
                    params=params,
                    also=also,
                    transform=transform,
                    pieces=self._pieces,
                    observer=replace(self._observer, on_step=partial(self._log_step, first)),
                    saving=kept,
                )
        except BudgetExceededError as error:
            meter.check_ended(error, first, before, size)
            return 0

    def gradients(
        self,
        loss: Loss,
        *,
        on: PoolName,
        power: int = 1,
        size: int | None = None,
        steps: int | None = None,
        share: float | None = None,
    ) -> dict[str, Tensor]:
        if power < 1 or (steps is not None and steps < 1):
            raise MethodError(f"gradients(power={power}, steps={steps}): both must be at least 1")
        size, steps = self._meter.portion(on, self._batch_size(self._size("gradients", size)), steps, share)
        most = min(self._pools[on].batches(size), self._meter.room(on) // size)
        steps = most if steps is None else min(steps, most)
        if steps == 0:
            raise MethodError(f"gradients(on={on!r}): the budget has no room for a batch of {size} pairs")
        salt = self._next_pass()
        self._meter.backward_passes += steps

        def compute() -> dict[str, Tensor]:
            attempts = self._attempts(partial(loss, self), lambda step: self._draws.step(step, size, salt))
            return mean_gradients(self._model, attempts, steps, power, self._accelerator, self._pieces)

        cache = Gradients(self._model, self._clip, self._pools, self._meter, self._pieces)
        which = [self._seed, salt, size, steps, power, str(self._accelerator.mixed_precision)]
        return cache.of(loss, which, self.device, compute)

    def adapters(self, rank: int, where: Callable[[str], bool] | None = None) -> AbstractContextManager[None]:
        # Kept, or a block that nobody holds would be closed, and the adapters merged, before they are trained.
        self._blocks.append(adapters(self._model, rank, where, self._rng))
        return self._blocks[-1]

    def parametrized(self, modules: Mapping[str, nn.Module]) -> AbstractContextManager[None]:
        self._blocks.append(parametrized(self._model, modules))
        return self._blocks[-1]

    def edit(self) -> AbstractContextManager[dict[str, Tensor]]:
        return edited(self._model)

    def batches(
        self, pool: PoolName, size: int | None = None, *, steps: int | None = None, share: float | None = None
    ) -> Iterator[Batch]:
        size, steps = self._meter.portion(pool, self._pools[pool].room(self._size("batches", size)), steps, share)
        yield from islice(self._draws.one_pass(pool, size, self._next_pass()), steps)

    @torch.no_grad()
    def probe(self) -> Probe:
        self._meter.probes += 1
        slices = {name: Batch(pool, pool.probed) for name, pool in self._pools.items()}
        with evaluating(self._model):
            forget, retain = (self.features(slices[name]) for name in ("forget", "retain"))
        return estimate(forget, retain, self.reference_features(slices["retain"]))

    def log(self, name: str, value: float, step: int | None = None) -> None:
        self._meter.log(name, float(value), self._meter.steps if step is None else step)

    def _log_step(self, first: int, done: int, steps: int, values: Mapping[str, float]) -> None:
        self._meter.log_curves(first, done, steps, values)
        self._observer.on_step(done, steps, values)

    def _training_config(self, config: TrainingConfig | None) -> TrainingConfig:
        chosen = self._settings if config is None else config
        if not isinstance(chosen, TrainingConfig):
            raise MethodError(
                "fit() needs optimizer settings: derive its config from TrainingConfig, or give fit(config=...)"
            )
        self._meter.begin_fit(self._batch_size(chosen.batch_size), chosen)
        return chosen

    @property
    def _settings(self) -> Any:
        """What is trained with where nothing is said: of a wrapper, the settings of what it wraps."""
        return self._config.wrapped.config if isinstance(self._config, WrapperConfig) else self._config

    def _batch_size(self, batch_size: int) -> int:
        return common_batch(self._pools, batch_size)

    def _next_pass(self) -> str:
        self._meter.passes += 1
        return f"pass {self._meter.passes}"

    def _size(self, member: str, size: int | None) -> int:
        if size is None:
            size = getattr(self._settings, "batch_size", None)
        if size is None or size < 1:
            raise MethodError(f"{member}(size=...): say how many pairs a batch has; the config has no batch_size")
        return size
