"""Projected-gradient unlearning: minimise any loss by changes that retain pairs do not see.

For the layer y = W x, the columns of U are the eigenvectors of sum x x^T over retain pairs that hold a share of its
energy (its trace), M = U U^T, and

    W <- W + D (I - M)

so that what lies in the span of U comes out of the layer as before. D is trained; all else stays.
"""

from __future__ import annotations

from itertools import islice

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from salmu_core import MethodContext, MethodSpec, WrapperConfig, hookimpl


class Config(WrapperConfig):
    """Settings of projected-gradient unlearning."""

    energy: float = Field(default=0.95, gt=0, le=1, description="Share of the inputs' energy that is kept as it is.")
    batches: int = Field(
        default=8, ge=1, description="Retain batches whose inputs are looked at; a quarter of the budget at most."
    )


class Unseen(nn.Module):
    """W -> W + D (I - U U^T), with D zero at the start."""

    def __init__(self, weight: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros_like(weight))
        self.basis = nn.Buffer(basis)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # in the weights' own precision, as it ends up
            seen: Tensor = self.change @ self.basis @ self.basis.T
            return weight + self.change - seen


def spanned(moment: Tensor, energy: float) -> Tensor:
    """The fewest directions ``[d, k]``, orthonormal, that hold a share of the trace of ``[d, d]``."""
    values, vectors = torch.linalg.eigh(moment.double().cpu())
    held = values.clamp(min=0).flip(0).cumsum(0) / values.clamp(min=0).sum()
    count = int((held < energy * (1 - 1e-12)).sum()) + 1
    kept: Tensor = vectors.flip(1)[:, :count].to(moment)
    return kept


def inputs(ctx: MethodContext[Config]) -> dict[nn.Module, Tensor]:
    """Layer -> sum of x x^T over the inputs that a part of the retain set gives it."""
    moments: dict[nn.Module, Tensor] = {}

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].detach().flatten(0, -2).float()
        moments[layer] = moments.get(layer, 0) + x.T @ x

    layers = [m for _, m in ctx.model.named_modules() if isinstance(m, nn.Linear | nn.MultiheadAttention)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    quarter = max(1, ctx.budget.retain // 4)  # the loss has the rest
    size = min(ctx.config.wrapped.config.batch_size, quarter)
    with torch.no_grad():
        for batch in islice(ctx.batches("retain", size), min(ctx.config.batches, quarter // size)):
            ctx.features(batch)
    for hook in hooks:
        hook.remove()
    return moments


def unlearn(ctx: MethodContext[Config]) -> None:
    """Look at what goes into each layer, then minimise over the changes."""
    placed = []
    for layer, moment in inputs(ctx).items():
        name = "weight" if isinstance(layer, nn.Linear) else "in_proj_weight"
        change = Unseen(getattr(layer, name), spanned(moment, ctx.config.energy))
        parametrize.register_parametrization(layer, name, change, unsafe=True)
        placed.append((layer, name))
    ctx.fit(ctx.config.wrapped.loss, params=lambda name: name.endswith(".change"))
    for layer, name in placed:
        parametrize.remove_parametrizations(layer, name)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="pgu",
            summary="Minimise another method's loss by changes that what retain pairs feed each layer does not see.",
            paper="https://arxiv.org/abs/2312.04095",
            code="https://github.com/hnanhtuan/projected_gradient_unlearning/blob/b3275c3/unlearn_class.py",
            departures="The change is projected where it enters the weight, not the gradient: the same for SGD, and "
            "so AdamW stays outside of the span as well. Trained are the attention's input and the MLPs' matrices "
            "alone.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
