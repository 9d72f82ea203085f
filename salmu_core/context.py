"""All a plugin may touch. Importing this costs no torch, so that plugins can name these types freely."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from salmu_core.errors import BenchmarkError, MethodError, MetricError
from salmu_core.layout import CAPTIONS_METADATA, IDENTITIES
from salmu_core.losses import Features, features

if TYPE_CHECKING:
    import numpy as np
    from torch import Generator, Tensor

    from salmu_core.embeddings import Embedder
    from salmu_core.engine import Engine
    from salmu_core.pool import Pool
    from salmu_core.specs import Loss, Split, TrainingConfig
    from salmu_core.zeroshot import ZeroShot

C = TypeVar("C", bound=Any)
PoolName = Literal["forget", "retain"]


class Batch:
    """Some pairs of the forget or the retain set, on the run's device; decoded when first looked at.

    Attributes:
        captions: The captions ``[b]``.
        index: Row numbers within the set ``[b]``.
    """

    def __init__(self, pool: Pool, index: np.ndarray, captions: Sequence[str] | None = None) -> None:
        self._pool = pool
        self.index = index
        self._replaced = captions is not None
        own = pool.captions if captions is None else captions
        self.captions = tuple(own[i] for i in index)

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def pool(self) -> PoolName:
        """The set it was drawn from."""
        return self._pool.name

    @cached_property
    def image(self) -> Tensor:
        """Normalised images, float32 ``[b, 3, h, w]``."""
        return self._pool.images(self.index)

    @cached_property
    def text(self) -> Tensor:
        """Token ids of the captions, int64 ``[b, context_length]``."""
        return self._pool.tokenize(self.captions) if self._replaced else self._pool.tokens(self.index)


class Step:
    """One step's data, drawn and charged when first asked for: a pure function of (seed, step number).

    Attributes:
        index: Number of the step in its run, or in its pass of `gradients`.
    """

    def __init__(self, index: int, draw: Callable[[PoolName], Batch], permute: Callable[[int], Tensor]) -> None:
        self.index = index
        self._draw = draw
        self._permute = permute

    @cached_property
    def forget(self) -> Batch:
        """This step's forget pairs."""
        return self._draw("forget")

    @cached_property
    def retain(self) -> Batch:
        """This step's retain pairs."""
        return self._draw("retain")

    def permutation(self, n: int) -> Tensor:
        """A random permutation of ``range(n)``, int64 ``[n]``; the same whenever this step is asked."""
        return self._permute(n)


@dataclass(frozen=True)
class Pairs:
    """What is known of the forget or the retain set as a whole.

    Attributes:
        captions: Caption of each row.
        identity_ids: Person shown in each row, or None.
        generic_captions: For the forget set, a caption without private data for each row's image.
    """

    captions: tuple[str, ...]
    identity_ids: tuple[str | None, ...]
    generic_captions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class Room:
    """What is left of a run's budget, in pairs."""

    forget: int
    retain: int


@dataclass(frozen=True)
class Probe:
    """Estimates on a fixed slice of what the method may see anyway; never a reported metric.

    Attributes:
        forget_mrr: Mean reciprocal rank of each caption among the slice's captions, forget set.
        forget_similarity: Mean cosine of forget pairs.
        retain_mrr: As ``forget_mrr``, retain set.
        retain_similarity: Mean cosine of retain pairs.
    """

    forget_mrr: float
    forget_similarity: float
    retain_mrr: float
    retain_similarity: float


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
        if batch._replaced:
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
        return self._engine.fit(self, loss, steps, draws, params, grad_mask, captions, config)

    def gradients(self, loss: Loss, *, on: PoolName, power: int = 1) -> dict[str, Tensor]:
        """One pass over a set: the mean over batches of the loss's gradient, raised to ``power``.

        With ``power=2`` this is the diagonal of the empirical Fisher information, batch by batch.

        Returns:
            Parameter name -> tensor of its shape, float32.
        """
        return self._engine.gradients(self, loss, on, power)

    @contextmanager
    def edit(self) -> Iterator[dict[str, Tensor]]:
        """Weight surgery: parameter name -> tensor to change in place, without gradients."""
        with self._engine.edit() as weights:
            yield weights

    def batches(self, pool: PoolName) -> Iterator[Batch]:
        """One pass over a set in random order, in batches of ``config.batch_size`` (or 64)."""
        return self._engine.batches(pool, getattr(self.config, "batch_size", 64))

    def probe(self) -> Probe:
        """Estimate efficacy and utility on what the method may see, for step sizes and early stopping."""
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
    return facts[key]
