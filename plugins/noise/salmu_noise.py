"""Noise of a stated norm: what a change of that size does if it knows nothing. The negative control of a table.

With z standard normal and r = `relative`, for each tensor w, or for all weights as one vector::

    w <- w + r |w| z / |z|
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from salmu_core import MethodConfig, MethodContext, MethodSpec, hookimpl


class Config(MethodConfig):
    """Settings of Noise."""

    relative: float = Field(0.08, gt=0, description="The change's norm, in that of the weights.")
    of: Literal["tensor", "model"] = Field(
        "tensor",
        description="Whether this holds of each tensor, or of the model whose every weight has the same noise.",
    )


def unlearn(ctx: MethodContext[Config]) -> None:
    """Add it to all weights but the temperature, which no embedding depends on."""
    with ctx.edit() as weights:
        noise = {name: ctx.randn_like(weight) for name, weight in weights.items() if name != "logit_scale"}
        norms = {name: (weights[name].double().norm(), z.double().norm()) for name, z in noise.items()}
        whole = [torch.stack(norm).norm() for norm in zip(*norms.values(), strict=True)]
        for name, z in noise.items():
            size, drawn = norms[name] if ctx.config.of == "tensor" else whole
            weights[name] += z * (ctx.config.relative * size / drawn).to(z)
    ctx.log("norm", ctx.config.relative * float(whole[0]))


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="noise",
            summary="Add noise of a stated norm to the weights: the negative control.",
            paper="https://arxiv.org/abs/2505.22310",
            departures="A control, not the paper's method: of its weight distortion, which adds noise and then trains, "
            "only the noise, scaled to the norm of what it stands beside.",
            tags=("control",),
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
