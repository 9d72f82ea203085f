"""One embedding table in training: the rows of it that captions look up, and their gradients."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        self._add(torch.ops.aten.embedding_dense_backward(gradient, places, len(self._ids), padding, False))

    def taken(self, dense: Tensor | None) -> Tensor | None:
        """The gradient that rows were given since this was asked last, ``[k, d]``, if there is one.

        Args:
            dense: That of the whole table, where it was looked at otherwise: all rows count as looked up from here on.
        """
        if dense is not None:
            places = self._places_of(torch.arange(len(dense)))
            self._add(torch.empty_like(dense).index_copy_(0, places, dense))
        gradient, self._gradient = self._gradient, None
        return gradient

    def give(self, gradient: Tensor) -> None:
        """Have rows trained by this gradient ``[k, d]`` and no other."""
        self._gradient, self.weight.grad = gradient, None

    def _add(self, part: Tensor) -> None:
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
        ours = module.weight is self.weight and usual(module) and not torch._C._are_functorch_transforms_active()
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


def usual(module: nn.Embedding) -> bool:
    """Whether a table is looked up in and no more: rows keep their lengths, and gradients are plain."""
    return not (module.max_norm or module.scale_grad_by_freq or module.sparse)
