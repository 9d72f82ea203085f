"""Modules between weights and model, trained instead of them and merged at the end: adapters (LoRA, Hu et al. 2021).

Not through peft, which needs transformers, and whose layer for open_clip's attention adapts both matrices or none and
merges them into the weights and out again at every pass. torch's own parametrizations reach bare parameters as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """The weights of a model by their own names, those below other modules too, and not these modules'."""
    own = {}
    for name, p in model.named_parameters():
        below = re.search(r"parametrizations\.(\w+)\.(original$|\d+\.)", name)
        if below is None or below[2] == "original":
            own[name.replace(below[0], below[1]) if below else name] = p
    return own


@contextmanager
def parametrized(model: nn.Module, modules: Mapping[str, nn.Module], what: str = "parametrized()") -> Iterator[None]:
    """A block in which modules are between weights and model; nothing else of it is trained.

    Args:
        model: The model; at the end of the block it is what it was, with what the modules make of its weights.
        modules: By name, takes a weight and returns one of its kind.
        what: For messages: who put them there.

    Raises:
        MethodError: There is no module, none such weight, or one that has a module already.
    """
    weights = own_weights(model)
    if odd := sorted(map(str, modules.keys() - weights.keys())) or ([] if modules else ["nothing"]):
        raise MethodError(f"{what}: no weight is called {odd[0]!r}; names are those of ctx.model's parameters")
    places = {name: (model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in modules}
    if twice := [name for name, place in places.items() if parametrize.is_parametrized(*place)]:
        raise MethodError(f"{what}: {twice[0]} has one already; blocks inside one another take different weights")
    flags = {p: p.requires_grad for p in weights.values()}
    orders = {module: list(module._parameters) for module, _ in places.values()}
    try:
        for p in flags:
            p.requires_grad_(False)
        for name, module in modules.items():
            # `unsafe` spares a forward for each; the shape is known to stay.
            parametrize.register_parametrization(*places[name], module, unsafe=True)
        yield
    finally:
        for place in places.values():
            if parametrize.is_parametrized(*place):
                _merge(*place)
        for module, order in orders.items():
            module._parameters = {name: module._parameters[name] for name in order}
        for p, flag in flags.items():
            p.requires_grad_(flag)


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
    matrices = {name: p for name, p in own_weights(model).items() if p.ndim == 2 and "embedding" not in name}
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise MethodError(f"adapters(rank={rank!r}): the rank is a whole number from 1")
    if where is not None and not callable(where):
        raise MethodError(
            f"adapters(where={where!r}): give a function of a name, as in `lambda name: '.attn.' in name`"
        )
    chosen = {name: p for name, p in matrices.items() if where is None or where(name)}
    if not chosen:
        raise MethodError(f"adapters(where=...) selects no matrix; there are {', '.join(matrices)}")
    with parametrized(model, {n: LowRank(p, rank, generator) for n, p in chosen.items()}, "adapters()"):
        yield


def check_entered(blocks: Iterable[Any]) -> None:
    """What `adapters` and `parametrized` gave was entered.

    Raises:
        MethodError: It was not, so that the weights themselves would be trained.
    """
    if any(getgeneratorstate(block.gen) == GEN_CREATED for block in blocks):
        raise MethodError(
            "ctx.adapters(...) and ctx.parametrized(...) alone add nothing: train inside `with ctx.adapters(...):`"
        )


@torch.no_grad()
def _merge(module: nn.Module, name: str) -> None:
    """Take a module off; a weight that it leaves as it is keeps its bytes, the signs of its zeros too."""
    parametrization: nn.Module = module.get_submodule(f"parametrizations.{name}")
    weight, made = parametrization.get_parameter("original"), getattr(module, name)
    if not torch.equal(weight, made):
        weight.copy_(made)
    parametrize.remove_parametrizations(module, name, leave_parametrized=False)
