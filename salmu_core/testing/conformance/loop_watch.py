"""Looks on while the core's loop trains: which optimizers are its own, and whether every term of a loss trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from salmu_core.train.observer import Observer


class Flow(Enum):
    """How the gradient of a loss's term flows."""

    NONE = "not at all"
    UNSEEN = "it could, but all that was seen is zero or the temperature's"
    WEIGHTS = "into the weights"


class LoopWatch:
    """What is seen of one run.

    Attributes:
        stepping: Whether the loop is in the middle of a step.
        flows: Name of each term that was fitted -> how its gradient flows.
    """

    def __init__(self) -> None:
        self.stepping = False
        self.flows: dict[str, Flow] = {}
        self._made: list[torch.optim.Optimizer] = []

    @property
    def observer(self) -> Observer:
        """To be handed to the run."""
        return Observer(on_optimizer=self._made.append, on_terms=self._look_at, stepping=self._step)

    def made(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer is the loop's."""
        return any(own is optimizer for own in self._made)

    @contextmanager
    def optimizers_built(self) -> Iterator[list[tuple[str, torch.optim.Optimizer]]]:
        """Kind and object of all optimizers that are built meanwhile, whoever builds them."""
        built: list[tuple[str, torch.optim.Optimizer]] = []
        original = torch.optim.Optimizer.__init__

        def init(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
            built.append((type(self).__name__, self))
            original(self, *args, **kwargs)

        torch.optim.Optimizer.__init__ = init  # type: ignore[method-assign]
        try:
            yield built
        finally:
            torch.optim.Optimizer.__init__ = original  # type: ignore[method-assign]

    @contextmanager
    def _step(self) -> Iterator[None]:
        self.stepping = True
        try:
            yield
        finally:
            self.stepping = False

    def _look_at(self, terms: Mapping[str, Tensor], trained: Mapping[str, nn.Parameter]) -> None:
        weights = [parameter for name, parameter in trained.items() if name != "logit_scale"]
        for name, term in terms.items() if "loss" not in terms else ():
            if self.flows.get(name) is not Flow.WEIGHTS and term.requires_grad:
                gradients = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
                flows = any(gradient is not None and bool(gradient.any()) for gradient in gradients)
                self.flows[name] = Flow.WEIGHTS if flows else Flow.UNSEEN
            self.flows.setdefault(name, Flow.NONE)
