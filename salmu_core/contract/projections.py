"""The two maps into the space that images and captions share. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from salmu_core.errors import MethodError

if TYPE_CHECKING:
    from torch import Tensor

#: As open_clip's classes call them; the first two are multiplied from the right, the others are linear layers.
_NAMES = {
    "image": ("visual.proj", "visual.head.proj.weight"),
    "text": ("text_projection", "text.text_projection", "text_projection.weight", "text.text_projection.weight"),
}


def projection(weights: Mapping[str, Tensor], tower: Literal["image", "text"]) -> Tensor:
    """A tower's last matrix, ``[width, d]``: an embedding, before it is normalised, is a row of ``width`` times it.

    Args:
        weights: What ``ctx.edit()`` gives. A change in place of what is returned is a change of the model.
        tower: Which.

    Raises:
        MethodError: There is none, or it has a bias, by which more would have to be changed than this matrix.
    """
    for name in _NAMES[tower]:
        if name in weights and f"{name.removesuffix('weight')}bias" not in weights:
            return weights[name].T if name.endswith(".weight") else weights[name]
    raise MethodError(f"the {tower} tower ends in no projection without a bias: {' or '.join(_NAMES[tower])}")
