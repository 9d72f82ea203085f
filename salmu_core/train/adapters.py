"""Low-rank adapters on a model's matrices (LoRA, Hu et al. 2021), trained instead of them and merged at the end.

peft wraps modules and drags transformers in; open_clip's attention holds its matrices as bare parameters, which torch's
own parametrizations reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from salmu_core.errors import MethodError


class LowRank(nn.Module):
    """W -> W + up @ down, which is W at the start.

    Args:
        weight: The matrix ``[out, in]``.
        rank: Columns of ``up`` and rows of ``down``.
        generator: Draws ``down``; on the CPU.
    """

    def __init__(self, weight: Tensor, rank: int, generator: Generator) -> None:
        super().__init__()
        rows, columns = weight.shape
        down = torch.randn(rank, columns, generator=generator) / columns**0.5
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        self.down = nn.Parameter(down.to(device=weight.device, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


@contextmanager
def adapters(model: nn.Module, rank: int, where: Callable[[str], bool] | None, generator: Generator) -> Iterator[None]:
    """A block in which a model's matrices have adapters, and nothing else of it is trained.

    Args:
        model: The model; at the end of the block it is what it was, with the adapters merged into its matrices.
        rank: Of each adapter.
        where: Which matrices get one, by name; by default all but embeddings.
        generator: Draws the start of the adapters.

    Raises:
        MethodError: No matrix is selected, or the rank is not between 1 and the smaller side of one.
    """
    matrices = {name: p for name, p in model.named_parameters() if p.ndim == 2}
    chosen = [name for name in matrices if (where(name) if where else "embedding" not in name)]
    if not chosen:
        raise MethodError("adapters(where=...): no matrix has such a name; `salmu_core` names are those of open_clip")
    narrow = min(chosen, key=lambda name: min(matrices[name].shape))
    if not 1 <= rank <= min(matrices[narrow].shape):
        raise MethodError(
            f"adapters(rank={rank}): the rank must be at least 1 and at most {min(matrices[narrow].shape)}, the "
            f"smaller side of {narrow}"
        )
    flags = [(p, p.requires_grad) for p in model.parameters()]
    places = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in chosen]
    orders = {module: list(module._parameters) for module, _ in places}
    model.requires_grad_(False)
    try:
        for module, name in places:
            adapter = LowRank(getattr(module, name), rank, generator)
            # `unsafe` spares a forward for each; the shape is known to stay.
            parametrize.register_parametrization(module, name, adapter, unsafe=True)
        yield
    finally:
        for module, name in places:
            if parametrize.is_parametrized(module, name):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for module, order in orders.items():
            module._parameters = {name: module._parameters[name] for name in order}
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
