"""Where a training runs: in one process as it stands, or wherever accelerate puts it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator


class Place(Protocol):
    """What a training needs of the place it runs at."""

    rank: int
    world: int
    device: torch.device

    def ready(self, module: nn.Module) -> nn.Module:
        """The module as it is called: moved, in mixed precision, with gradients shared between processes."""

    def optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimizer as it is stepped."""

    def backward(self, loss: Tensor) -> None:
        """Compute gradients."""

    def apart(self, ready: nn.Module) -> AbstractContextManager[Any]:
        """A block in which gradients add up here and are not shared yet."""

    def clip(self, parameters: Sequence[nn.Parameter], norm: float, optimizer: Any) -> None:
        """Clip the common gradient norm of what an optimizer, as it is stepped, trains."""

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes; all must ask."""

    def wait(self) -> None:
        """Until all processes are here."""

    def fresh(self) -> None:
        """Forget what another model's training has left: the scale of half-precision gradients."""

    def state(self) -> dict[str, float]:
        """What a checkpoint must keep of the place: the scale of half-precision gradients."""

    def restore(self, state: dict[str, float]) -> None:
        """Take it up again."""


class Alone:
    """One process in float32 on a CPU."""

    rank, world, device = 0, 1, torch.device("cpu")

    def ready(self, module: nn.Module) -> nn.Module:
        return module

    def optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        return optimizer

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def apart(self, ready: nn.Module) -> AbstractContextManager[Any]:
        return nullcontext()

    def clip(self, parameters: Sequence[nn.Parameter], norm: float, optimizer: Any) -> None:
        nn.utils.clip_grad_norm_(parameters, norm)

    def mean(self, values: Tensor) -> Tensor:
        return values

    def wait(self) -> None: ...

    def fresh(self) -> None: ...

    def state(self) -> dict[str, float]:
        return {}

    def restore(self, state: dict[str, float]) -> None: ...


class Accelerated:
    """Whatever ``accelerate launch`` set up: devices, processes, precision."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        self.device: torch.device = accelerator.device
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
