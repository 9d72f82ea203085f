"""What a method keeps beside the model, for the run that goes on from its result."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors.torch import load, save
from torch import Tensor, nn

from salmu_core.errors import MethodError
from salmu_core.train.pieces import out_of_memory


def savable(state: object, model: nn.Module) -> dict[str, Tensor]:
    """Copies of all tensors of ``ctx.state``, on the CPU and contiguous, as a file can hold them.

    Args:
        state: As a method left it.
        model: As well; its checkpoint is another file.

    Raises:
        MethodError: It holds something else, or one of its tensors shares memory with another one or with the model:
            it would have changed with them until now, and no longer once it is read from the file.
    """
    if not isinstance(state, Mapping):
        raise MethodError(f"ctx.state is a {type(state).__name__} now: put tensors into it, by name")
    owners = {value.untyped_storage().data_ptr(): f"ctx.model's {name}" for name, value in model.state_dict().items()}
    kept: dict[str, Tensor] = {}
    for name, value in state.items():
        place = f"ctx.state[{name!r}]"
        if not isinstance(name, str):
            raise MethodError(f"{place}: a name must be a text, not a {type(name).__name__}")
        try:
            kept[name] = value.detach().to("cpu", copy=True).contiguous()
            read = load(save({name: kept[name].flatten()[:0]}))
        except Exception as error:  # neither torch nor safetensors has one for all that it can't do
            if isinstance(error, MemoryError) or out_of_memory(error):
                raise
            read = {}
        if name not in read:
            kind = f"{value.dtype} {value.layout} tensor" if isinstance(value, Tensor) else type(value).__name__
            raise MethodError(
                f"{place} is a {kind}, which can't be saved: keep plain dense tensors only, of the types and by the "
                "names that safetensors takes"
            )
        owner = owners.setdefault(value.untyped_storage().data_ptr(), place) if value.numel() else place
        if owner != place:
            raise MethodError(f"{place} shares memory with {owner}: keep a clone()")
    return kept
