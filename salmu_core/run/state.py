"""What a method keeps beside the model, for the run that goes on from its result."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from salmu_core.errors import MethodError


def savable(state: object) -> dict[str, Tensor]:
    """Copies of all tensors of ``ctx.state``, on the CPU and contiguous, as a file can hold them.

    Raises:
        MethodError: It holds something else, or two of its tensors share memory: one of them changed by itself would
            change the other now, and no longer once both are read from the file.
    """
    if not isinstance(state, Mapping):
        raise MethodError(f"ctx.state is a {type(state).__name__} now: put tensors into it, by name")
    owners: dict[int, str] = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise MethodError(f"ctx.state[{name!r}]: a name must be a text, not a {type(name).__name__}")
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta or value.is_quantized:
            kind = f"{value.layout} tensor" if isinstance(value, Tensor) else type(value).__name__
            raise MethodError(f"ctx.state[{name!r}] is a {kind}, which can't be saved: keep plain dense tensors only")
        first = owners.setdefault(value.untyped_storage().data_ptr(), name) if value.numel() else name
        if first != name:
            raise MethodError(f"ctx.state[{name!r}] and ctx.state[{first!r}] share memory: keep a clone() of one")
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}
