"""Null-space projection: the directions of the forget captions are taken out of the text tower's last matrix.

With E ``[n, d]`` the forget captions' embeddings, U ``[d, k]`` an orthonormal basis of most of their span, and W the
text projection, of which an embedding is a row of features times it::

    W <- W (I - s U U^T)
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodConfig, MethodContext, MethodSpec, Search, hookimpl, projection


class Config(MethodConfig):
    """Settings of Null-space projection."""

    strength: Annotated[float, Search(0.1, 1)] = Field(
        1.0, gt=0, le=1, description="s: which share of the directions is removed."
    )
    energy: Annotated[float, Search(0.3, 1)] = Field(
        0.9, gt=0, le=1, description="Share of the squared norm of all captions that the directions must hold."
    )
    rank: int | None = Field(None, ge=1, description="k: how many directions; by default as `energy` says.")
    centred: bool = Field(False, description="Whether the captions' mean is subtracted first, so that it may stay.")


def basis(embeddings: Tensor, energy: float, rank: int | None) -> Tensor:
    """The first right singular vectors of rows ``[n, d]``, orthonormal columns ``[d, k]``, float64.

    Args:
        energy: Share of the sum of squares that they hold at least.
        rank: How many instead; fewer where there are no more.
    """
    _, values, directions = torch.linalg.svd(embeddings.double(), full_matrices=False)
    held = values.square().cumsum(0) / values.square().sum()
    chosen: Tensor = directions[: rank or 1 + int((held < energy).sum())]
    return chosen.T


def unlearn(ctx: MethodContext[Config]) -> None:
    """One pass over forget captions, no image, and one matrix changed."""
    config = ctx.config
    found = torch.cat([ctx.reference_texts(batch.captions) for batch in ctx.batches("forget", 64)]).cpu()
    directions = basis(found - found.mean(dim=0) if config.centred else found, config.energy, config.rank)
    ctx.log("directions", directions.shape[1])
    with ctx.edit() as weights:
        matrix = projection(weights, "text")
        removed = config.strength * (matrix.cpu().double() @ directions) @ directions.T
        matrix -= removed.to(matrix)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="null-space",
            summary="Project the forget captions' embeddings out of the text tower.",
            paper="https://arxiv.org/abs/2512.14137",
            departures="The paper removes the span of a few class names; thousands of captions span the whole space, "
            "so here it is the directions that hold a share of their energy. `centred` is not in the paper: by it, the "
            "mean of all captions stays.",
            tags=("weights",),
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
