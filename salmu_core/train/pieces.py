"""Batches encoded a piece at a time, with the gradient of the whole batch and one piece's activations in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from salmu_core.errors import MethodError

R = TypeVar("R")


class Pieces:
    """How much of a batch the towers of a model encode at a time.

    A loss needs the embeddings of all rows, but no activations: each piece is encoded once for these, and a second
    time when a gradient arrives at it (GradCache, Gao et al. 2021), with the same random numbers and precision. To
    autograd that is the same graph, so whatever is differentiated, and however often, has its gradient.

    Args:
        size: Rows of a piece; 0 for whole batches.
        simpler: Told of an error, whether towers encode in a simpler way from now on, so that it may not come again.

    Attributes:
        size: As it is now; `enough` makes it smaller where memory runs out.
    """

    def __init__(
        self, model: nn.Module, size: int = 0, simpler: Callable[[Exception], bool] = lambda error: False
    ) -> None:
        self.size = size
        self._simpler = simpler
        self._model = model
        self._largest = 0

    def encode(self, tower: Callable[..., Tensor], inputs: Tensor) -> Tensor:
        """Normalised embeddings ``[b, d]`` of a tower's inputs ``[b, ...]``.

        Raises:
            MethodError: The batch is larger than a piece, and the model normalises over batches.
        """
        self._largest = max(self._largest, len(inputs))
        tower = partial(tower, normalize=True)
        if not 0 < self.size < len(inputs) or self._lent:
            return tower(inputs)
        if self._normalises_over_batches:
            raise MethodError(
                "a batch can't be encoded in pieces by a model that normalises over batches (BatchNorm), as its "
                "embeddings depend on the whole batch: leave --micro-batch out, or choose a smaller batch_size"
            )
        if torch.is_grad_enabled():
            tower = partial(checkpoint, tower, use_reentrant=False)
        return torch.cat([tower(piece) for piece in torch.split(inputs, self.size)])

    def encode_together(self, tower: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same of several batches, in one go where each row is embedded for itself.

        Raises:
            MethodError: As `encode`.
        """
        if len(inputs) == 1 or self._normalises_over_batches:
            return [self.encode(tower, batch) for batch in inputs]
        return torch.split(self.encode(tower, torch.cat(list(inputs))), [len(batch) for batch in inputs])

    @property
    def _lent(self) -> bool:
        """Whether others stand in for the model's weights, which will be gone when a piece is encoded again."""
        return not all(isinstance(weight, nn.Parameter) for weight in self._model.parameters())

    @property
    def _normalises_over_batches(self) -> bool:
        return any(isinstance(module, _BatchNorm) and module.training for module in self._model.modules())

    def enough(self, attempt: Callable[[], R], undo: Callable[[], None] = lambda: None) -> R:
        """What ``attempt`` returns; where memory runs out, it is made again with pieces of half the size.

        Also where it fails for the way that towers encode in, in a simpler one.

        Args:
            attempt: Does a step's work, and the same when called again.
            undo: Lets go of what a failed attempt has left.

        Raises:
            MethodError: Memory runs out and there is nothing left to divide.
        """
        while True:
            before, self._largest = self._largest, 0
            try:
                return attempt()
            except Exception as error:
                self._largest = self._largest or before  # of a step whose loss was computed already
                if not self._simpler(error):
                    if not out_of_memory(error):
                        raise
                    self._halve(error)
            # Only now that the error is gone, and with it the frames that it came through, is their memory free.
            undo()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _halve(self, error: Exception) -> None:
        now = min(self.size or self._largest, self._largest)
        if now < 2:
            why = "even with one pair embedded at a time" if now else "and the loss embeds nothing by ctx.features()"
            raise MethodError(
                f"memory runs out, {why}: choose a smaller batch_size, fewer processes, or a device with more memory"
            ) from error
        self.size = (now + 1) // 2


def out_of_memory(error: Exception) -> bool:
    """Whether an allocator says that; on a CPU it has no exception of its own."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
