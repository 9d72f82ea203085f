"""How far to go along a direction, by `probe`. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from salmu_core.contract.probe import Probe

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.context import MethodContext


class Tried(NamedTuple):
    """A step that `line_search` tried.

    Attributes:
        length: Its length.
        found: What `probe` found after it.
        enough: Whether it is.
    """

    length: float
    found: Probe
    enough: bool


def line_search(
    ctx: MethodContext[Any], along: Mapping[str, Tensor], first: float, tries: int, enough: Callable[[Probe], bool]
) -> list[Tried]:
    """Steps along a direction: the first is doubled until it is enough, and from there on they are bisected.

    Args:
        along: Parameter name -> what a step of length 1 adds to it. The weights are as before in the end.
        first: Length of the first step.
        tries: Number of steps.
        enough: Whether a step is, by what `probe` finds after it.
    """
    tried, short, long = list[Tried](), 0.0, 0.0
    with ctx.edit() as weights:
        start = {name: weights[name].clone() for name in along}
        for _ in range(tries):
            length = (short + long) / 2 if long else 2 * short or first
            for name, direction in along.items():
                weights[name].copy_(start[name] + length * direction)
            found = ctx.probe()
            tried.append(Tried(length, found, enough(found)))
            short, long = (short, length) if tried[-1].enough else (length, long)
        for name, value in start.items():
            weights[name].copy_(value)
    return tried
