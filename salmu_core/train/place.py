"""Where a training runs: in one process as it stands, or wherever accelerate puts it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator


class Place:
    """What a training needs of the place it runs at; this one is a single process in float32 on a CPU."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    def ready(self, module: nn.Module) -> nn.Module:
        """The module as it is called: moved, in mixed precision, with gradients shared between processes."""
        return module

    def optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimizer as it is stepped."""
        return optimizer

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def apart(self, ready: nn.Module) -> AbstractContextManager[Any]:
        """A block in which gradients add up here and are not shared yet."""
        return nullcontext()

    def clip(self, parameters: Sequence[nn.Parameter], norm: float, optimizer: Any) -> None:
        """Clip the common gradient norm of what an optimizer, as it is stepped, trains."""
        nn.utils.clip_grad_norm_(parameters, norm)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes; all must ask."""
        return values

    def wait(self) -> None:
        """Until all processes are here."""

    def fresh(self) -> None:
        """Forget what another model's training has left: the scale of half-precision gradients."""

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep of the place: the scale of half-precision gradients."""
        return {}

    def restore(self, state: dict[str, float]) -> None:
        """Take it up again."""


class Accelerated(Place):
    """Whatever ``accelerate launch`` set up: devices, processes, precision."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.device = accelerator.device
        self._start = self.state()

    def ready(self, module: nn.Module) -> nn.Module:
        prepared: nn.Module = self.accelerator.prepare_model(module)
        return prepared

    def optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        # accelerator.prepare_optimizer() would keep it for good, and unscale the gradients of the next one twice. Where
        # there is nothing to unscale, accelerate's own would only look for libraries, twice a step.
        scaler = self.accelerator.scaler
        return optimizer if scaler is None else AcceleratedOptimizer(optimizer, scaler=scaler)

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def apart(self, ready: nn.Module) -> AbstractContextManager[Any]:
        block: AbstractContextManager[Any] = self.accelerator.no_sync(ready)
        return block

    def clip(self, parameters: Sequence[nn.Parameter], norm: float, optimizer: Any) -> None:
        self.accelerator.unscale_gradients(optimizer)
        nn.utils.clip_grad_norm_(parameters, norm)

    def mean(self, values: Tensor) -> Tensor:
        if self.world == 1:
            return values
        mean: Tensor = self.accelerator.reduce(values, "mean")
        return mean

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def fresh(self) -> None:
        self.restore(self._start)

    def state(self) -> dict[str, float]:
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def restore(self, state: dict[str, float]) -> None:
        if self.accelerator.scaler is not None and state:
            self.accelerator.scaler.load_state_dict(state)
