"""All a plugin may touch. Importing this costs no torch, so that plugins can name these types freely."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from salmu_core.contract.features import Features
from salmu_core.contract.layout import CAPTIONS_METADATA, IDENTITIES
from salmu_core.errors import BenchmarkError, MethodError, MetricError
from salmu_core.losses import features

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from salmu_core.contract.config import TrainingConfig
    from salmu_core.contract.features import Pairs, PoolName
    from salmu_core.contract.layout import Split
    from salmu_core.contract.probe import Probe
    from salmu_core.contract.steps import Batch, Step
    from salmu_core.contract.zeroshot import ZeroShot
    from salmu_core.run.context import Engine
    from salmu_core.score.embeddings import Embedder

    Loss = Callable[["MethodContext[Any]", Step], Tensor | Mapping[str, Tensor]]

C = TypeVar("C", bound=Any)


class MethodContext(Generic[C]):
    """Everything a method receives. It returns nothing: the result is what is in ``ctx.model``.

    Holdouts, metrics and the Clean model are not in this object, nor anywhere in the process while a
    method runs.
    """

    def __init__(self, engine: Engine, config: C) -> None:
        self._engine = engine
        self._config = config

    @property
    def config(self) -> C:
        """The run's validated configuration."""
        return self._config

    @property
    def model(self) -> Any:
        """The model to change, an open_clip CLIP; starts as Compromised."""
        return self._engine.model

    @property
    def reference(self) -> Any:
        """Compromised as it was: frozen, and checked afterwards. For its embeddings of pairs use
        `reference_features`, which are computed once and shared by all runs."""
        return self._engine.reference

    @property
    def device(self) -> Any:
        """The device of model and batches."""
        return self._engine.device

    @property
    def rng(self) -> Generator:
        """The run's random generator, on the CPU; the global one is nobody's business."""
        return self._engine.rng

    def randn_like(self, tensor: Tensor) -> Tensor:
        """Standard normal numbers in a tensor's shape, type and place, drawn from `rng`."""
        return self._engine.randn_like(tensor)

    @property
    def forget(self) -> Pairs:
        """Captions and identities of the forget set."""
        return self._engine.pairs("forget")

    @property
    def retain(self) -> Pairs:
        """Captions and identities of the retain set."""
        return self._engine.pairs("retain")

    @property
    def num_train(self) -> int:
        """Number of pairs Compromised was trained on, as the benchmark states it."""
        return self._engine.num_train

    @property
    def budget(self) -> Room:
        """What may still be drawn."""
        meter = self._engine.meter
        return Room(meter.room("forget"), meter.room("retain"))

    def features(self, batch: Batch) -> Features:
        """Embeddings of a batch under `model`, with gradients."""
        return features(self.model, batch)

    def reference_features(self, batch: Batch) -> Features:
        """Embeddings of a batch under the original: no gradients, computed once, shared by all runs.

        Raises:
            MethodError: The batch's captions were replaced; the original never embedded those.
        """
        if batch.replaced:
            raise MethodError("reference_features() knows the rows' own captions only, not replaced ones")
        return self._engine.reference_features(batch)

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Token ids, int64 ``[n, context_length]``, on the run's device."""
        return self._engine.tokenize(captions)

    def fit(
        self,
        loss: Loss,
        *,
        steps: int | None = None,
        draws: Collection[PoolName] = ("forget", "retain"),
        params: Callable[[str], bool] | None = None,
        grad_mask: Mapping[str, Tensor] | None = None,
        captions: Sequence[str] | None = None,
        config: TrainingConfig | None = None,
    ) -> int:
        """The training loop: minimise ``loss(ctx, step)`` over `model` until steps or budget end.

        Args:
            loss: Returns a scalar, or named scalars that are summed.
            steps: Number of steps; by default as many as the budget allows.
            draws: Sets the loss looks at; how many steps are affordable is reckoned by what is left of these.
            params: Which parameters to train, by name; by default all.
            grad_mask: Parameter name -> factor on its gradient, of its shape.
            captions: New captions for the forget set, one a row; by default its own.
            config: Optimizer settings; by default the method's config.

        Returns:
            The number of steps made; 0 once the budget has no room for another batch.

        Raises:
            MethodError: The settings make no sense, the loss is not a finite scalar, or the budget was never
                enough for a batch.
        """
        return self._engine.fit(partial(loss, self), steps, draws, params, grad_mask, captions, config)

    def gradients(self, loss: Loss, *, on: PoolName, power: int = 1) -> dict[str, Tensor]:
        """One pass over a set: the mean over batches of the loss's gradient, raised to ``power``.

        With ``power=2`` this is the diagonal of the empirical Fisher information, batch by batch.

        Returns:
            Parameter name -> tensor of its shape, float32.
        """
        return self._engine.gradients(partial(loss, self), on, power)

    @contextmanager
    def edit(self) -> Iterator[dict[str, Tensor]]:
        """Weight surgery: parameter name -> tensor to change in place, without gradients.

        Raises:
            MethodError: An entry was replaced by another tensor instead.
        """
        with self._engine.edit() as weights:
            yield weights

    def batches(self, pool: PoolName) -> Iterator[Batch]:
        """One pass over a set in random order, in batches of ``config.batch_size`` (or 64).

        Retain pairs that `probe` looks at are left out, here as everywhere. Where the budget has less room than
        the set has pairs, the pass ends with the room.

        Raises:
            BudgetExceededError: There is no room at all.
        """
        return self._engine.batches(pool, getattr(self.config, "batch_size", 64))

    def probe(self) -> Probe:
        """Estimate efficacy and utility without the holdouts, for step sizes and early stopping.

        Its retain pairs are kept out of all batches.
        """
        return self._engine.probe()

    def log(self, name: str, value: float, step: int | None = None) -> None:
        """Keep a scalar in the run's record, at a step (by default the number of steps so far)."""
        meter = self._engine.meter
        meter.log(name, float(value), meter.steps if step is None else step)


class MetricContext:
    """Everything a metric receives: embeddings and facts of the splits it declared in ``reads``."""

    def __init__(self, embedder: Embedder, reads: Sequence[Split], metric: str) -> None:
        self._embedder = embedder
        self._reads = frozenset(reads)
        self._metric = metric

    def _allow(self, split: str) -> str:
        if split not in self._reads:
            raise MetricError(
                f"metric {self._metric} reads split {split!r} without declaring it; its `reads` are "
                f"{', '.join(sorted(self._reads))}"
            )
        return split

    def embeddings(self, split: Split) -> Features:
        """L2-normalised embeddings of all rows of a split, each ``[n, d]``, float32, on the CPU."""
        self._allow(split)
        return Features(self.images(split), self.texts(self.captions(split)))

    def images(self, split: Split) -> Tensor:
        """L2-normalised image embeddings of a split ``[n, d]``, float32, on the CPU."""
        return self._embedder.images(self._allow(split))

    def texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of any texts ``[n, d]``, float32, on the CPU; equal tokens, equal bits."""
        return self._embedder.texts(captions)

    def captions(self, split: Split) -> tuple[str, ...]:
        """``text`` of each row of a split."""
        rows, index = self._embedder.data.locate(self._allow(split))
        return tuple(rows.captions[i] for i in index)

    def identity_ids(self, split: Split) -> tuple[str | None, ...]:
        """Person shown in each row of a split, or None."""
        return tuple(self._embedder.data.names(self._allow(split))[1])

    def facts(self, split: Split) -> tuple[Mapping[str, Any], ...]:
        """``sensitive_set_captions_metadata.json`` of each row of a split (``data_field``, ``caption``, ...)."""
        names, _ = self._embedder.data.names(self._allow(split))
        return tuple(_entry(self._embedder.data.captions_metadata, name, CAPTIONS_METADATA) for name in names)

    def person(self, identity_id: str) -> Mapping[str, Any]:
        """``identities_metadata.json`` of one person (``name``, ``city``, ...)."""
        return _entry(self._embedder.data.identities, identity_id, IDENTITIES)

    @property
    def zeroshot(self) -> ZeroShot:
        """Class names, templates and labels of the zero-shot set."""
        self._allow("zeroshot")
        return self._embedder.zeroshot()


def _entry(facts: Mapping[str, Mapping[str, Any]], key: str, file: str) -> Mapping[str, Any]:
    if key not in facts:
        raise BenchmarkError(f"{file} has no entry {key!r}")
    return MappingProxyType(facts[key])  # shared by all metrics


@dataclass(frozen=True)
class Room:
    """What is left of a run's budget, in pairs.

    Attributes:
        forget: Forget pairs that may still be drawn.
        retain: Retain pairs that may still be drawn.
    """

    forget: int
    retain: int
