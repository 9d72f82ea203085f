"""OrthoGrad: follow any loss where it pulls along no single retain pair's gradient.

With G the gradients of k retain pairs as rows, and Q R = G^T,

    g = g_f - Q Q^T g_f
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, WrapperConfig, by_rows, hookimpl, rejected
from salmu_core.losses import contrastive_rows, total


class Config(WrapperConfig):
    """Settings of OrthoGrad."""

    samples: int = Field(default=4, ge=1, description="k, the retain pairs of a step whose gradients are taken apart.")
    scope: Literal["model", "parameter"] = Field(
        "model", description="What is orthogonal: the gradient as a whole, or that of every parameter by itself."
    )


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise the wrapped loss along what is left of its gradient."""
    config, wrapped = ctx.config, ctx.config.wrapped

    def apart(ctx: MethodContext[Config], step: Step) -> dict[str, Tensor]:
        pairs = contrastive_rows(ctx.features(step.retain), ctx.model.logit_scale.exp())[: config.samples]
        return {"forget": total(wrapped.loss(ctx, step)), **{f"retain {i}": loss for i, loss in enumerate(pairs)}}

    def project(terms: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        push, *keep = terms.values()
        return rejected(push, keep, scope=config.scope)

    ctx.fit(apart, transform=by_rows(project))


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="orthograd",
            summary="Minimise another method's loss, orthogonal to the gradients of single retain pairs.",
            paper="https://arxiv.org/abs/2503.02312",
            departures="A contrastive loss has no term of a single sample: a pair's is its share of the batch's loss, "
            "with the others as negatives. The paper takes all of a small retain set; here it is `samples` of a step's "
            "batch, as each costs a backward pass. AdamW scales the projected gradient, which turns it a little.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
