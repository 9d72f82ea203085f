"""Projected-gradient unlearning: minimise any loss by changes that retain pairs do not see.

For the layer y = W x, the columns of U are the eigenvectors of sum x x^T over retain pairs that hold a share of its
energy (its trace), M = U U^T, and

    W <- W + D (I - M)

so that what lies in the span of U comes out of the layer as before. D is trained; all else stays.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from salmu_core import MethodContext, MethodSpec, Search, WrapperConfig, hookimpl, input_moments


class Config(WrapperConfig):
    """Settings of projected-gradient unlearning."""

    energy: Annotated[float, Search(0.5, 0.999)] = Field(0.66, gt=0, le=1, description="Share of energy that stays.")
    batches: int = Field(8, ge=1, description="Retain batches whose inputs are looked at; at most a quarter of all.")


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


def unlearn(ctx: MethodContext[Config]) -> None:
    """Look at what goes into each layer, then minimise over the changes."""
    looked_at = ctx.batches("retain", steps=ctx.config.batches, share=0.25)  # the loss has the rest
    changes = {
        name: Unseen(ctx.model.get_parameter(name), spanned(moment, ctx.config.energy))
        for name, moment in input_moments(ctx, looked_at).items()
    }
    with ctx.parametrized(changes):
        ctx.fit(ctx.config.wrapped.loss)


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
