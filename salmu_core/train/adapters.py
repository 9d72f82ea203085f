"""Low-rank adapters on a model's matrices (LoRA, Hu et al. 2021), trained instead of them and merged at the end.

Not through peft, which needs transformers, and whose layer for open_clip's attention adapts both matrices or none and
merges them into the weights and out again at every pass. torch's own parametrizations reach bare parameters as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import GEN_CREATED, getgeneratorstate
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from salmu_core.errors import MethodError


class LowRank(nn.Module):
    """W -> W + up @ down, which is W at the start.

    ``down`` begins Gaussian and ``up`` zero (Hu et al. 2021, section 4.1). What the paper leaves open: the Gaussian has
    the variance 1 / columns, which keeps the length of what comes in, and the factor alpha / rank is 1, because the
    learning rate does its work.

    Args:
        weight: The matrix ``[rows, columns]``.
        rank: Columns of ``up`` and rows of ``down``; the smaller side of the matrix at most.
        generator: Draws ``down``; on the CPU.
    """

    def __init__(self, weight: Tensor, rank: int, generator: Generator) -> None:
        super().__init__()
        rows, columns = weight.shape
        rank = min(rank, rows, columns)
        down = torch.randn(rank, columns, generator=generator) / columns**0.5
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        self.down = nn.Parameter(down.to(device=weight.device, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        # In the weights' own precision, as it is merged.
        with torch.autocast(weight.device.type, enabled=False):
            return weight + self.up @ self.down


def own_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a model by their own names, those below adapters too, and not the adapters."""
    added = {p for module in model.modules() if isinstance(module, LowRank) for p in module.parameters()}
    named = {name: p for name, p in model.named_parameters() if p not in added}
    return {re.sub(r"parametrizations\.(\w+)\.original$", r"\1", name): p for name, p in named.items()}


@contextmanager
def adapters(model: nn.Module, rank: int, where: Callable[[str], bool] | None, generator: Generator) -> Iterator[None]:
    """A block in which a model's matrices have adapters, and nothing else of it is trained.

    Args:
        model: The model; at the end of the block it is what it was, with the adapters merged into its matrices.
        rank: Of each adapter; of a matrix whose smaller side is less, that.
        where: Which matrices get one, by name; by default all. Embeddings have none.
        generator: Draws the start of the adapters.

    Raises:
        MethodError: No matrix is selected, one has an adapter already, or the rank is no whole number from 1.
    """
    weights = own_weights(model)
    matrices = [name for name, p in weights.items() if p.ndim == 2 and "embedding" not in name]
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise MethodError(f"adapters(rank={rank!r}): the rank is a whole number from 1")
    if where is not None and not callable(where):
        raise MethodError(
            f"adapters(where={where!r}): give a function of a name, as in `lambda name: '.attn.' in name`"
        )
    chosen = [name for name in matrices if where is None or where(name)]
    if not chosen:
        raise MethodError(f"adapters(where=...) selects no matrix; there are {', '.join(matrices)}")
    places = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in chosen]
    if twice := [name for name, place in zip(chosen, places, strict=True) if parametrize.is_parametrized(*place)]:
        raise MethodError(f"adapters(): {twice[0]} has one already; blocks inside one another take different matrices")
    flags = {p: p.requires_grad for p in weights.values()}
    orders = {module: list(module._parameters) for module, _ in places}
    added = {place: LowRank(getattr(*place), rank, generator) for place in places}
    try:
        for p in flags:
            p.requires_grad_(False)
        for (module, name), adapter in added.items():
            # `unsafe` spares a forward for each; the shape is known to stay.
            parametrize.register_parametrization(module, name, adapter, unsafe=True)
        yield
    finally:
        for (module, name), adapter in added.items():
            if parametrize.is_parametrized(module, name):
                _merge(module, name, adapter)
        for module, order in orders.items():
            module._parameters = {name: module._parameters[name] for name in order}
        for p, flag in flags.items():
            p.requires_grad_(flag)


def check_entered(blocks: Iterable[Any]) -> None:
    """What `adapters` gave was entered.

    Raises:
        MethodError: It was not, so that the weights themselves would be trained.
    """
    if any(getgeneratorstate(block.gen) == GEN_CREATED for block in blocks):
        raise MethodError("ctx.adapters(...) alone adds nothing: train inside `with ctx.adapters(...):`")


@torch.no_grad()
def _merge(module: nn.Module, name: str, adapter: LowRank) -> None:
    """Take an adapter off; a weight whose adapter was not trained keeps its bytes, the signs of its zeros too."""
    if adapter.up.any():
        parametrized: nn.Module = module.get_submodule(f"parametrizations.{name}")
        parametrized.get_parameter("original").copy_(getattr(module, name))
    parametrize.remove_parametrizations(module, name, leave_parametrized=False)
