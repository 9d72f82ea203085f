"""Embedding tables in training: rows that captions look up are trained, the others get what AdamW would give them.

A row that was never looked up never had a gradient, so it has no momentum either, and AdamW does nothing but decay it.
A benchmark's captions have some hundred tokens of CLIP's 49,408: gradients, norms and optimizer states of the others
are more than half of what a step of a small model costs. Kept for the rows that were looked up, they are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Rows from which on a table is worth it.
LARGE = 4096


class _LookUp(torch.autograd.Function):
    """The rows of a table, whose gradient goes to who gathers it; to everybody else it is the dense one."""

    @staticmethod
    def forward(weight: Tensor, ids: Tensor, padding: int, table: Table) -> Tensor:
        return functional.embedding(ids, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, Table], output: Tensor) -> None:
        weight, ids, ctx.padding, ctx.table = inputs
        ctx.rows = len(weight)
        ctx.save_for_backward(ids)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        (ids,) = ctx.saved_tensors
        if ctx.table.gathers and not ctx.table.hooked:
            ctx.table.take(ids, gradient)
            return None, None, None, None
        dense = torch.ops.aten.embedding_dense_backward(gradient, ids, ctx.rows, ctx.padding, False)
        return dense, None, None, None


class Table:
    """One table, and the rows of it that are trained.

    Args:
        known: Ids of rows that are known to be looked up, ascending.

    Attributes:
        weight: All rows, ``[n, d]``.
        rows: Stands for them in an optimizer: those that were looked up, ``[k, d]``.
        gathers: Whether a gradient that arrives is the loop's, and not one that a loss asks for.
    """

    def __init__(self, module: nn.Embedding, known: Tensor | None = None) -> None:
        self.gathers = False
        self.rows = nn.Parameter(module.weight.new_empty(0, module.embedding_dim))
        self._module = module
        self.weight = cast(nn.Parameter, module.weight)
        self._padding = -1 if module.padding_idx is None else module.padding_idx
        self._places = torch.full((module.num_embeddings,), -1)
        self._ids = torch.empty(0, dtype=torch.int64)
        self._gradient: Tensor | None = None
        if known is not None:
            self._places_of(known)

    @property
    def ids(self) -> Tensor:
        """Which rows are looked up, ``[k]``, in the order of `rows`."""
        return self._ids

    def restore(self, ids: Tensor, held: int) -> None:
        """Go on with rows that were looked up before, of which the first few have momentum."""
        self._ids = ids
        self._places[ids] = torch.arange(len(ids))
        self.rows.data = self.weight.new_empty(held, self.weight.shape[1])

    def install(self) -> None:
        """Let the module look rows up here."""
        vars(self._module)["forward"] = self._look_up

    def remove(self) -> None:
        """Let it do so itself again."""
        own = vars(self._module)
        if own.get("forward") == self._look_up:  # and not what a loss has put there meanwhile
            del own["forward"]
        self._gradient = None

    @property
    def hooked(self) -> bool:
        """Whether somebody wants to see, or to change, the gradient of the whole table."""
        return bool(self.weight._backward_hooks or self.weight._post_accumulate_grad_hooks)

    def take(self, ids: Tensor, gradient: Tensor) -> None:
        """Add the gradient ``[..., d]`` of rows ``[...]`` that were looked up."""
        places = self._places_of(ids)
        padding = int(self._places[self._padding]) if self._padding >= 0 else -1
        part = torch.ops.aten.embedding_dense_backward(gradient, places, len(self._ids), padding, False)
        if self._gradient is not None:
            part[: len(self._gradient)] += self._gradient
        self._gradient = part

    def drop(self) -> None:
        """Let go of gradients."""
        self._gradient = self.weight.grad = None

    @torch.no_grad()
    def gather(self, optimizer: torch.optim.Optimizer) -> bool:
        """Give `rows` their values and their gradient; returns False if the whole table has one, and is trained now."""
        if self.weight.grad is not None:
            # A loss looks at the table otherwise than by its rows: all of it is trained, from where its rows are.
            if self._gradient is not None:
                self.weight.grad.index_add_(0, self._ids, self._gradient)
            self.give_up(optimizer)
            return False
        if self._gradient is not None:
            grown = len(self._ids) - len(self.rows)
            if grown:
                _lengthen(optimizer.state.get(self.rows, {}), self.rows.shape, grown)
                self.rows.data = self.weight.new_empty(len(self._ids), self.weight.shape[1])
            self.rows.copy_(self.weight[self._ids])
        self.rows.grad = self._gradient
        self._gradient = None
        return True

    @torch.no_grad()
    def scatter(self, optimizer: torch.optim.Optimizer) -> None:
        """Write the rows back after a step, and decay the others."""
        if self.rows.grad is None:
            return
        group = next(group for group in optimizer.param_groups if any(p is self.rows for p in group["params"]))
        if group["weight_decay"]:
            self.weight.mul_(1 - group["lr"] * group["weight_decay"])
        self.weight.index_copy_(0, self._ids, self.rows)

    def give_up(self, optimizer: torch.optim.Optimizer) -> None:
        """Have the whole table trained from here on."""
        state, held = optimizer.state.pop(self.rows, None), self._ids[: len(self.rows)]
        if state:
            whole = {
                name: torch.zeros_like(self.weight).index_copy_(0, held, value)
                for name, value in state.items()
                if isinstance(value, Tensor) and value.shape == self.rows.shape
            }
            optimizer.state[self.weight] = {**state, **whole}
        for group in optimizer.param_groups:
            group["params"] = [self.weight if p is self.rows else p for p in group["params"]]
        self.remove()

    def _look_up(self, ids: Tensor) -> Tensor:
        module = self._module
        # Other weights may stand in for those that are trained: gradients of these are none of ours. And to torch.func
        # ids may be of many calls at once, whose rows nobody can tell apart.
        ours = module.weight is self.weight and _usual(module) and not torch._C._are_functorch_transforms_active()
        if ours and torch.is_grad_enabled():
            looked_up: Tensor = _LookUp.apply(module.weight, ids, self._padding, self)
            return looked_up
        rows: Tensor = type(module).forward(module, ids)
        return rows

    def _places_of(self, ids: Tensor) -> Tensor:
        """Where the rows of some ids are in `rows`; ids that are new have theirs at the end."""
        places = self._places[ids]
        new = torch.unique(ids[places < 0])
        if not len(new):
            return places
        self._places[new] = torch.arange(len(self._ids), len(self._ids) + len(new))
        self._ids = torch.cat([self._ids, new])
        return self._places[ids]


def _lengthen(state: dict[str, Any], shape: torch.Size, more: int) -> None:
    """Rows that are new have no momentum."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape == shape:
            state[name] = torch.cat([value, value.new_zeros(more, shape[1])])


class Tables:
    """The large tables of a model in training; a context, in which they look their rows up here.

    Only on a CPU: to see which rows are new, an accelerator would have to be waited for, and there it is the number of
    kernels that small steps are bound by.

    Args:
        trained: Parameter name -> parameter, of those that are trained.
        apart: Names of parameters whose gradients somebody wants to see whole.
        known: Ids of the first table's rows that are known to be looked up, ascending.

    Attributes:
        trained: The same, with the rows of a table in its place: what is clipped and stepped.
    """

    def __init__(
        self,
        model: nn.Module,
        trained: Mapping[str, nn.Parameter],
        apart: Sequence[str] = (),
        known: Tensor | None = None,
    ) -> None:
        self.trained = dict(trained)
        self._tables: dict[str, Table] = {}
        large = _large(model)
        for name, parameter in trained.items():
            if parameter in large and name not in apart:
                self._tables[name] = Table(large[parameter], None if self._tables else known)
                self.trained[name] = self._tables[name].rows
        self._rows = {trained[name]: table.rows for name, table in self._tables.items()}

    def __enter__(self) -> Self:
        for table in self._tables.values():
            table.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for table in self._tables.values():
            table.remove()

    def groups(self, groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Groups of parameters as an optimizer takes them, with rows in the place of tables."""
        return [{**group, "params": [self._rows.get(p, p) for p in group["params"]]} for group in groups]

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Gradients that are computed in the block are the loop's."""
        for table in self._tables.values():
            table.gathers = True
        try:
            yield
        finally:
            for table in self._tables.values():
                table.gathers = False

    def drop(self) -> None:
        """Let go of the gradients of before a step, or of one that is made again."""
        for table in self._tables.values():
            table.drop()

    def gather(self, optimizer: torch.optim.Optimizer) -> None:
        """Before a step: give rows their gradients."""
        for name, table in list(self._tables.items()):
            if not table.gather(optimizer):
                self._forget(name)

    def scatter(self, optimizer: torch.optim.Optimizer) -> None:
        """After a step: write rows back."""
        for table in self._tables.values():
            table.scatter(optimizer)

    def ids(self) -> dict[str, Tensor]:
        """Which rows of each table are trained, ``[k]``, in their order; a table that is trained whole is not there."""
        return {name: table.ids for name, table in self._tables.items()}

    def restore(self, held: Mapping[str, tuple[Tensor, int]], optimizer: torch.optim.Optimizer) -> None:
        """Go on with the rows that were trained before.

        Args:
            held: What `ids` gave, and how many of these rows have momentum.
            optimizer: Trains them.
        """
        for name, table in list(self._tables.items()):
            if name in held:
                table.restore(*held[name])
            else:
                table.give_up(optimizer)
                self._forget(name)

    def _forget(self, name: str) -> None:
        self.trained[name] = self._tables.pop(name).weight


def _large(model: nn.Module) -> dict[Tensor, nn.Embedding]:
    """Tables of torch's own kind and usage that have many rows, on a CPU, by their weights."""
    return {
        module.weight: module
        for module in model.modules()
        if type(module) is nn.Embedding
        and module.num_embeddings >= LARGE
        and module.weight.device.type == "cpu"
        and _usual(module)
        and "forward" not in vars(module)
    }


def _usual(module: nn.Embedding) -> bool:
    return not (module.max_norm or module.scale_grad_by_freq or module.sparse)
