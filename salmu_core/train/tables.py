"""Embedding tables in training: rows that captions look up are trained, the others get what AdamW would give them.

A row that was never looked up never had a gradient, so it has no momentum either, and AdamW does nothing but decay it.
A benchmark's captions have some hundred tokens of CLIP's 49,408: gradients, norms and optimizer states of the others
are more than half of what a step of a small model costs. Kept for the rows that were looked up, they are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from salmu_core.train.table import Table, usual

#: Rows from which on a table is worth it.
LARGE = 4096


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

    @property
    def by_name(self) -> Mapping[str, Table]:
        """The tables, by the names of their parameters."""
        return self._tables

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
        and usual(module)
        and "forward" not in vars(module)
    }
