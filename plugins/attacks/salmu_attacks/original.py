"""The original's weights, for attacks that put them back."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from salmu_core import ModelAttackContext, NotMeasuredError


def original_weights(ctx: ModelAttackContext[Any]) -> Mapping[str, Tensor]:
    """Name -> weight, each as large as the checkpoint's own.

    Raises:
        NotMeasuredError: The original is of another architecture.
    """
    own, original = ctx.reference.state_dict(), ctx.original.state_dict()
    shapes = [{name: [*weight.shape] for name, weight in model.items()} for model in (own, original)]
    for name in sorted({*own, *original}):
        here, there = (shape.get(name, "missing") for shape in shapes)
        if here != there:
            raise NotMeasuredError(
                f"the original is of another architecture ({name} is {there} there, and {here} in what is attacked), "
                "so there is nothing to put back"
            )
    return original
