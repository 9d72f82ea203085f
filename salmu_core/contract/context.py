"""All a method may touch: signatures and what they promise. Importing this costs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from salmu_core.contract.config import TrainingConfig
    from salmu_core.contract.features import Features, Pairs, PoolName
    from salmu_core.contract.model import ClipModel
    from salmu_core.contract.probe import Probe
    from salmu_core.contract.steps import Batch, Step

    Loss = Callable[["MethodContext[Any]", Step], Tensor | Mapping[str, Tensor]]
    #: Parameter name -> gradient of its shape.
    Gradients = Mapping[str, Tensor]
    #: Takes the gradients of each term of a loss, by its name; returns those that the optimizer gets.
    Transform = Callable[[Mapping[str, Gradients]], Gradients]

C = TypeVar("C", bound=Any)


@dataclass(frozen=True)
class Room:
    """What is left of a run's budget, in pairs.

    Attributes:
        forget: Forget pairs that may still be drawn.
        retain: Retain pairs that may still be drawn.
    """

    forget: int
    retain: int


class MethodContext(ABC, Generic[C]):
    """Everything a method receives. It returns nothing: the result is what is in ``ctx.model``.

    Holdouts, metrics and the Clean model are not in this object, nor anywhere in the process while a
    method runs.
    """

    @property
    @abstractmethod
    def config(self) -> C:
        """The run's validated configuration."""

    @property
    @abstractmethod
    def model(self) -> ClipModel:
        """The model to change, an open_clip CLIP; starts as Compromised, or as what the run was told to start from."""

    @property
    @abstractmethod
    def reference(self) -> ClipModel:
        """The original, `model` as it was: frozen, and checked afterwards. For its embeddings of pairs use
        `reference_features`, which are computed once and shared by all runs."""

    @property
    @abstractmethod
    def device(self) -> Any:
        """The device of model and batches."""

    @property
    @abstractmethod
    def rng(self) -> Generator:
        """The run's random generator, on the CPU; the global one is nobody's business."""

    @abstractmethod
    def randn_like(self, tensor: Tensor) -> Tensor:
        """Standard normal numbers in a tensor's shape, type and place, drawn from `rng`."""

    @property
    @abstractmethod
    def forget(self) -> Pairs:
        """Captions and identities of the forget set."""

    @property
    @abstractmethod
    def retain(self) -> Pairs:
        """Captions and identities of the retain set."""

    @property
    @abstractmethod
    def num_train(self) -> int:
        """Number of pairs Compromised was trained on, as the benchmark states it."""

    @property
    @abstractmethod
    def budget(self) -> Room:
        """What may still be drawn."""

    @property
    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What the method wants to find again where it goes on from its own result: saved beside the checkpoint.

        Empty, or what the same method left in the run that this one starts from. What a loss carries from step to step
        belongs here too, or into a module of ``fit(also=...)``: an interrupted run goes on with both.
        """

    @overload
    def features(self, batch: Batch) -> Features: ...
    @overload
    def features(self, batch: Batch, another: Batch, /, *more: Batch) -> tuple[Features, ...]: ...
    @abstractmethod
    def features(self, batch: Batch, *more: Batch) -> Features | tuple[Features, ...]:
        """Embeddings of a batch under `model`, with gradients; a large batch may be embedded in pieces.

        Several batches that are asked for at once, ``ctx.features(step.forget, step.retain)``, go through the towers
        together, which small ones gain a good part of their time by.
        """

    @abstractmethod
    def reference_features(self, batch: Batch) -> Features:
        """Embeddings of a batch under the original: no gradients, computed once, shared by all runs."""

    @abstractmethod
    def embed_texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings ``[n, d]`` of any texts, one or more, under `model`, with gradients."""

    @abstractmethod
    def reference_texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings ``[n, d]`` of any texts under the original: no gradients, remembered in a run."""

    @abstractmethod
    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Token ids, int64 ``[n, context_length]``, on the run's device."""

    @abstractmethod
    def vocabulary(self) -> Mapping[int, str]:
        """Token id -> the token, as the model's tokenizer writes it: with CLIP's own, ``</w>`` ends a word."""

    @abstractmethod
    def fit(
        self,
        loss: Loss,
        *,
        steps: int | None = None,
        params: Callable[[str], bool] | None = None,
        also: Mapping[str, Module] | None = None,
        transform: Transform | None = None,
        config: TrainingConfig | None = None,
    ) -> int:
        """The training loop: minimise ``loss(ctx, step)`` over `model` until steps or budget end.

        What the loss looks at in its first step is what it is taken to draw: by what is left of these sets it is
        reckoned how many steps can be afforded.

        Args:
            loss: Returns a scalar, or named scalars that are summed.
            steps: Number of steps; by default as many as the budget allows.
            params: Which parameters of the model to train, by name; by default all.
            also: Modules to train beside it, by a name of yours: an inner network, a mask. Their parameters are
                called ``NAME.parameter``; frozen ones stay so, and the modules' modes are restored.
            transform: Gradient surgery: given the gradients of each term by its name (``loss`` for a scalar), it
                returns those that the optimizer gets, of the same names and shapes. `masked` makes one of a mask;
                `by_rows` spares it what no caption looks up.
            config: Optimizer settings; by default the method's config.

        Returns:
            The number of steps made; 0 once the budget has no room for another batch.

        Raises:
            MethodError: The settings make no sense, the loss is not a finite scalar, or the budget was never
                enough for a batch.
        """

    @abstractmethod
    def adapters(self, rank: int, where: Callable[[str], bool] | None = None) -> AbstractContextManager[None]:
        """Low-rank adapters (LoRA, Hu et al. 2021): a block in which they are trained instead of the weights.

        A matrix W is W + up @ down inside, with a Gaussian ``down`` from `rng` and ``up`` 0 at the start. At the end
        they are merged into the weights, and the model has the shape it came with.

        Args:
            rank: Of each adapter; of a matrix whose smaller side is less, that.
            where: Which matrices get one, by name; by default all. Embeddings, vectors and convolutions have none.

        Raises:
            MethodError: No matrix is selected, one has an adapter already, or the rank is no whole number from 1.
        """

    @abstractmethod
    def parametrized(self, modules: Mapping[str, Module]) -> AbstractContextManager[None]:
        """Modules between weights and model: a block in which they are trained instead of the weights.

        A weight W is module(W) inside, and nothing else of the model is trained. At the end module(W) is the weight,
        and the model has the shape it came with. `adapters` are such modules.

        Args:
            modules: Name of a weight -> takes it and returns one of its shape, type and place.

        Raises:
            MethodError: There is none, no weight has such a name, or one has a module already.
        """

    @abstractmethod
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
        """One pass over a set, or a part of one: the mean over batches of the loss's gradient, raised to ``power``.

        The pairs are charged as those of `fit` are: of a budget of 1, a whole pass over the forget set leaves nothing.

        The model is in eval mode and stays as it is. With ``power=2`` this is the diagonal of the empirical Fisher
        information, batch by batch.

        Args:
            loss: As for `fit`; a scalar, or named scalars that are summed.
            on: The set that the pass is over.
            power: Exponent of each batch's gradient.
            size: Pairs of a batch; by default the config's ``batch_size``.
            steps: Batches of the pass; by default as many as the set has and the budget allows.
            share: Of what the budget has left, so that a training has the rest: fewer batches, or one that is smaller.

        Returns:
            Parameter name -> tensor of its shape, float32.

        Raises:
            MethodError: There is no size, or the budget has no room for a batch.
        """

    @abstractmethod
    def edit(self) -> AbstractContextManager[dict[str, Tensor]]:
        """Weight surgery: parameter name -> tensor to change in place, without gradients.

        Raises:
            MethodError: An entry was replaced by another tensor instead, or added.
        """

    @abstractmethod
    def batches(
        self, pool: PoolName, size: int | None = None, *, steps: int | None = None, share: float | None = None
    ) -> Iterator[Batch]:
        """One pass over a set in random order, in batches of ``size``, by default the config's ``batch_size``.

        Retain pairs that `probe` looks at are left out, here as everywhere. Where the budget has less room than
        the set has pairs, the pass ends with the room. ``steps`` and ``share`` as for `gradients`.

        Raises:
            BudgetExceededError: There is no room at all.
        """

    @abstractmethod
    def probe(self) -> Probe:
        """Estimate efficacy and utility without the holdouts, for step sizes and early stopping.

        Its retain pairs are kept out of all batches.
        """

    @abstractmethod
    def log(self, name: str, value: float, step: int | None = None) -> None:
        """Keep a scalar in the run's record, at a step (by default the number of steps so far)."""
