"""Task vectors, and how much of one can be taken away (Ilharco et al. 2023). Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.search import Search

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.context import Loss, MethodContext


class NegationConfig(TrainingConfig):
    """Settings of methods that subtract a task vector: its training's, and how the scale is searched."""

    scales: int = Field(default=20, ge=1, description="Scales that are tried, evenly up to `max_scale`.")
    max_scale: Annotated[float, Search(0.5, 8, log=True)] = Field(
        default=1.0, gt=0, description="The largest scale that is tried."
    )
    control: float = Field(
        default=0.95, ge=0, le=1, description="Share of the retain captions' rank that must be left, by `probe`."
    )


def task_vector(ctx: MethodContext[Any], loss: Loss, **how: Any) -> dict[str, Tensor]:
    """What a training adds to each weight. The model is put back to the original; what was drawn stays charged.

    Args:
        loss: What `fit` minimises.
        how: Its other arguments.

    Returns:
        Parameter name -> tensor of its shape.
    """
    ctx.fit(loss, **how)
    original = ctx.reference.state_dict()
    with ctx.edit() as weights:
        vector = {name: weight - original[name] for name, weight in weights.items()}
        for name, value in ctx.model.state_dict().items():
            value.copy_(original[name])
    return vector


def negate(ctx: MethodContext[Any], vector: Mapping[str, Tensor]) -> float:
    """Leave the original minus a multiple of a task vector in the model, as `NegationConfig` has it.

    Of the scales after which `probe` finds retain captions at no less than ``control`` of the rank they had
    (``retain_mrr``), the one that leaves the least of the forget captions'; the smallest where there is none.

    Args:
        vector: Parameter name -> tensor of its shape.

    Returns:
        The scale; it is logged too, and ``forget_mrr`` and ``retain_mrr`` of each that was tried.
    """
    config: NegationConfig = ctx.config
    original = ctx.reference.state_dict()

    def move(scale: float) -> None:
        with ctx.edit() as weights:
            for name, change in vector.items():
                weights[name].copy_(original[name] - scale * change)

    needed = config.control * ctx.probe().retain_mrr
    tried = [config.max_scale * (k + 1) / config.scales for k in range(config.scales)]
    best, least = tried[0], float("inf")
    for number, scale in enumerate(tried):
        move(scale)
        found = ctx.probe()
        ctx.log("forget_mrr", found.forget_mrr, number)
        ctx.log("retain_mrr", found.retain_mrr, number)
        if found.retain_mrr >= needed and found.forget_mrr < least:
            best, least = scale, found.forget_mrr
    move(best)
    ctx.log("scale", best)
    return best
