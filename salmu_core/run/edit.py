"""Weights changed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from salmu_core.errors import MethodError
from salmu_core.train.adapters import own_weights


@contextmanager
def edited(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A block in which a model's weights can be changed in place, by their names.

    Raises:
        MethodError: At its end, an entry is in another place or was added: that leaves the model as it was.
    """
    weights = {name: p.detach() for name, p in own_weights(model).items()}
    places = {name: value.data_ptr() for name, value in weights.items()}
    with torch.no_grad():
        yield weights
    if added := sorted(map(str, weights.keys() - places.keys())):
        raise MethodError(f"edit(): no weight is called {added[0]!r}; the names are those of ctx.model's parameters")
    # `weights["x"] = y` binds a name, and `weights["x"].data = y` a tensor.
    if replaced := sorted(name for name in places if name not in weights or weights[name].data_ptr() != places[name]):
        raise MethodError(
            f"edit(): {replaced[0]} was replaced by another tensor, which changes nothing; change it in place, "
            "as in w += x, w.mul_(x) or w.copy_(x)"
        )
