"""What a loss is given at each step. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from salmu_core.errors import MethodError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from salmu_core.contract.features import PoolName


class Drawable(Protocol):
    """What a batch needs of the set it was drawn from."""

    @property
    def name(self) -> PoolName: ...

    @property
    def captions(self) -> Sequence[str]: ...

    def images(self, index: np.ndarray) -> Tensor: ...

    def tokens(self, index: np.ndarray) -> Tensor: ...

    def tokenize(self, captions: Sequence[str]) -> Tensor: ...


class Batch:
    """Some pairs of the forget or the retain set, on the run's device; decoded when first looked at.

    Attributes:
        captions: The captions ``[b]``.
        index: Row numbers within the set ``[b]``.
    """

    captions: tuple[str, ...]
    index: np.ndarray

    def __init__(self, pool: Drawable, index: np.ndarray) -> None:
        self._pool = pool
        self.index = index
        self.captions = tuple(pool.captions[i] for i in index)

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def pool(self) -> PoolName:
        """The set it was drawn from."""
        return self._pool.name

    def captioned(self, captions: Sequence[str]) -> Batch:
        """The same images with other captions; nothing is drawn anew.

        Args:
            captions: A caption for each row ``[b]``.

        Raises:
            MethodError: There are more or fewer captions than rows.
        """
        return _Recaptioned(self, captions)

    @cached_property
    def image(self) -> Tensor:
        """Normalised images, float32 ``[b, 3, h, w]``; for embeddings ask ``ctx.features``."""
        return self._pool.images(self.index)

    @cached_property
    def text(self) -> Tensor:
        """Token ids of the captions, int64 ``[b, context_length]``; for embeddings ask ``ctx.features``."""
        return self._pool.tokens(self.index)


class _Recaptioned(Batch):
    def __init__(self, batch: Batch, captions: Sequence[str]) -> None:
        if isinstance(captions, str) or len(captions) != len(batch):
            raise MethodError(
                f"captioned() takes a caption for each of the batch's {len(batch)} rows, not {len(captions)}: "
                "`[... for i in batch.index]` makes such a list"
            )
        super().__init__(batch._pool, batch.index)
        self._original = batch
        self.captions = tuple(captions)

    @cached_property
    def image(self) -> Tensor:
        return self._original.image

    @cached_property
    def text(self) -> Tensor:
        return self._pool.tokenize(self.captions)


class Step:
    """One step's data, drawn and charged when first asked for: a pure function of (seed, step number).

    Attributes:
        index: Number of the step in its run, or in its pass of `gradients`.
    """

    index: int

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

    @cached_property
    def leaked(self) -> Batch:
        """For an attack: this step's pairs of those it holds; they come round again as often as it likes."""
        return self._draw("leaked")

    def permutation(self, n: int) -> Tensor:
        """A random permutation of ``range(n)``, int64 ``[n]``; the same whenever this step is asked."""
        return self._permute(n)
