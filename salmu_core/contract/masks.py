"""Masks of gradients, the commonest surgery. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Masked:
    """A transform that scales gradients; see `masked`.

    Attributes:
        masks: Parameter name -> factor of its shape.
    """

    masks: Mapping[str, Tensor]

    def __call__(self, terms: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The sum of the terms' gradients, scaled."""
        first, *others = terms.values()
        sums = {name: sum((term[name] for term in others), start=gradient) for name, gradient in first.items()}
        return {name: self.masks[name] * sums[name] if name in self.masks else sums[name] for name in sums}


def masked(masks: Mapping[str, Tensor]) -> Masked:
    """Gradient masks for ``fit(transform=...)``: each gradient is scaled before it is clipped.

    Where a mask is 0 the weight stays what it is, bit for bit: weight decay and momentum don't move it either. In
    between, it is the gradient that is scaled, not the decay. Called by a transform of yours, it scales gradients and
    holds no weight.

    Args:
        masks: Parameter name -> factor of its shape, of numbers or of truth values. What is not named trains as ever.
    """
    return Masked(dict(masks))
