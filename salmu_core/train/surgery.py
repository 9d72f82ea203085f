"""From a loss to the gradients that the optimizer gets: as they are, masked, or as a transform makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from salmu_core.contract.masks import Masked
from salmu_core.contract.surgery import ByRows
from salmu_core.errors import MethodError
from salmu_core.losses import total

if TYPE_CHECKING:
    from salmu_core.contract.context import Gradients, Transform
    from salmu_core.train.table import Table

    Trained = Mapping[str, nn.Parameter]


class Plain:
    """The gradient of the sum of all terms.

    Args:
        accelerator: Scales a loss where precision needs it.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def differentiate(self, terms: Mapping[str, Tensor]) -> None:
        """Give each parameter its gradient, from the terms of a loss."""
        self._accelerator.backward(total(terms))

    def settle(self) -> None:
        """Put back what a step must not move."""


class Masking(Plain):
    """That gradient, scaled; what it is scaled to 0 at stays where it is.

    Args:
        accelerator: Scales a loss where precision needs it.
        trained: The parameters that are trained, by name.
        known: Names of all parameters; for those that are not trained a mask is without effect.

    Raises:
        MethodError: A mask is of no parameter, or not of its shape.
    """

    def __init__(self, accelerator: Accelerator, trained: Trained, known: Mapping[str, nn.Parameter], masked: Masked):
        super().__init__(accelerator)
        self._masks: list[tuple[nn.Parameter, Tensor, Tensor]] = []
        for name, mask in masked.masks.items():
            if name not in known:
                raise MethodError(f"masked(): no parameter is called {name!r}; its names are those of ctx.model's")
            if not isinstance(mask, Tensor) or mask.shape != known[name].shape:
                raise MethodError(
                    f"masked(): the mask of {name} is {_kind(mask)}; it must be a tensor of shape "
                    f"{list(known[name].shape)}, as the parameter is"
                )
            if name in trained:
                parameter = trained[name]
                self._masks.append((parameter, mask.detach().to(parameter), parameter.detach().clone()))

    def differentiate(self, terms: Mapping[str, Tensor]) -> None:
        super().differentiate(terms)
        for parameter, factor, _ in self._masks:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    @torch.no_grad()
    def settle(self) -> None:
        for parameter, factor, start in self._masks:
            parameter.copy_(torch.where(factor == 0, start, parameter))


class Surgery(Plain):
    """What a transform makes of the gradients of each term.

    Args:
        accelerator: Scales a loss where precision needs it; a transform is given gradients that are not scaled.
        trained: The parameters that are trained, by name.
        tables: Those of them whose rows are trained, by name.
    """

    def __init__(
        self, accelerator: Accelerator, trained: Trained, transform: Transform, tables: Mapping[str, Table]
    ) -> None:
        super().__init__(accelerator)
        self._trained, self._transform, self._tables = trained, transform, tables

    def differentiate(self, terms: Mapping[str, Tensor]) -> None:
        """As ever.

        Raises:
            MethodError: The transform returns something else than a gradient for each parameter.
        """
        scaler, scale = self._accelerator.scaler, torch.ones((), device=self._accelerator.device)
        scale = scale if scaler is None else scaler.scale(scale)
        given = {name: self._gradients(term * scale) for name, term in terms.items()}
        shapes = self._shapes()  # known only now, as any term may look up new rows of a table
        with torch.no_grad():
            found = {
                name: {one: _filled(gradients.get(one), like, scale) for one, like in shapes.items()}
                for name, gradients in given.items()
            }
            made = self._checked(self._transform(found), shapes)
            for name, like in shapes.items():
                # Without a transform, what no term touches has no gradient, and weight decay leaves it alone.
                if any(name in gradients for gradients in given.values()) or made[name].any():
                    # A copy, as clipping changes it in place; laid out as the optimizer's kernels expect it.
                    gradient = torch.empty_like(like).copy_(made[name]).mul_(scale)
                    if name in self._tables:
                        self._tables[name].give(gradient)
                    else:
                        self._trained[name].grad = gradient

    def _gradients(self, term: Tensor) -> dict[str, Tensor]:
        """Of a term, by name; of a table, those of its rows. What it does not touch has none."""
        found: Sequence[Tensor | None] = [None] * len(self._trained)
        if term.requires_grad:
            parameters = list(self._trained.values())
            found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        named = dict(zip(self._trained, found, strict=True))
        named |= {name: table.taken(named[name]) for name, table in self._tables.items()}
        return {name: gradient for name, gradient in named.items() if gradient is not None}

    def _shapes(self) -> dict[str, Tensor]:
        """What gradients look like: as parameters do, of a table as its rows."""
        rows = {n: table.weight.new_empty(len(table.ids), table.weight.shape[1]) for n, table in self._tables.items()}
        return {**self._trained, **rows}

    def _checked(self, made: object, shapes: Mapping[str, Tensor]) -> Gradients:
        if not isinstance(made, Mapping):
            raise MethodError(f"transform() returned {_kind(made)}; it must return each parameter's gradient, by name")
        if odd := sorted(map(str, made.keys() ^ self._trained.keys())):
            what = "has no gradient" if odd[0] in self._trained else "is not among the parameters that are trained"
            raise MethodError(
                f"transform(): {odd[0]} {what} in what it returned. It is given term -> parameter -> gradient, and "
                f"returns parameter -> gradient, for each of the {len(self._trained)} parameters"
            )
        for name, parameter in shapes.items():
            gradient = made[name]
            right = isinstance(gradient, Tensor) and (gradient.shape, gradient.dtype, gradient.device) == (
                (parameter.shape, parameter.dtype, parameter.device)
            )
            if not right:
                raise MethodError(
                    f"transform(): the gradient that it returned for {name} is {_kind(gradient)}; it must be as the "
                    f"parameter is, {_kind(parameter)}"
                )
        return made


def surgery(
    accelerator: Accelerator,
    trained: Trained,
    known: Mapping[str, nn.Parameter],
    transform: Transform | None,
    tables: Mapping[str, Table],
) -> Plain:
    """How a loss is differentiated: as a transform says, as a mask, or as it is; see the classes."""
    if transform is None:
        return Plain(accelerator)
    if isinstance(transform, Masked):
        return Masking(accelerator, trained, known, transform)
    if not callable(transform):
        raise MethodError(f"fit(transform=...): {_kind(transform)} can't be called; give a function, or masked(...)")
    return Surgery(accelerator, trained, transform, tables)


def watched(transform: Transform | None, trained: Iterable[str]) -> list[str]:
    """Names of the parameters whose gradients a transform sees whole."""
    if transform is None or isinstance(transform, ByRows):
        return []
    return list(transform.masks) if isinstance(transform, Masked) else list(trained)


def passes(terms: Tensor | Mapping[str, Tensor], transform: Transform | None) -> int:
    """Gradient computations of a step: a transform that is no mask takes one for each term."""
    apart = isinstance(terms, Mapping) and transform is not None and not isinstance(transform, Masked)
    return len(terms) if apart else 1


def _filled(gradient: Tensor | None, like: Tensor, scale: Tensor) -> Tensor:
    """A gradient that is not scaled, with zeros where there is none: all of it, or rows that a later term looked up."""
    if gradient is not None and gradient.shape == like.shape:
        return gradient / scale
    whole = torch.zeros_like(like)
    if gradient is not None:
        whole[: len(gradient)] = gradient / scale
    return whole


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)} on {value.device}"
    return "None" if value is None else f"a {type(value).__name__}"
