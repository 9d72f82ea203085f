"""OrthoGrad: follow any loss where it pulls along no single retain pair's gradient.

With G the gradients of k retain pairs as rows, and Q R = G^T,

    g = g_f - Q Q^T g_f
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import MethodContext, MethodSpec, Step, WrapperConfig, hookimpl
from salmu_core.losses import total


class Config(WrapperConfig):
    """Settings of OrthoGrad."""

    samples: int = Field(default=4, ge=1, description="k, the retain pairs of a step whose gradients are taken apart.")
    scope: Literal["model", "parameter"] = Field(
        "model", description="What is orthogonal: the gradient as a whole, or that of every parameter by itself."
    )


def pair_losses(similarity: Tensor, logit_scale: Tensor) -> Tensor:
    """Each pair's share ``[b]`` of CLIP's loss of a batch, from its cosines ``[b, b]``."""
    logits = logit_scale * similarity
    losses: Tensor = -(logits.log_softmax(dim=1).diagonal() + logits.log_softmax(dim=0).diagonal()) / 2
    return losses


def rejected(push: Mapping[str, Tensor], keep: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """A gradient less its part in the span of others; each is a vector that lies in several tensors by name.

    By the normal equations, which for a few long vectors come to the same as QR and hold if they depend on each other.
    """
    gram, along = (torch.zeros(len(keep), columns, dtype=torch.float64) for columns in (len(keep), 1))
    for name, gradient in push.items():
        rows = torch.stack([other[name].flatten() for other in keep])
        gram += (rows @ rows.T).cpu()
        along += (rows @ gradient.flatten()[:, None]).cpu()
    shares = (torch.linalg.pinv(gram, rtol=1e-6, hermitian=True) @ along).flatten().tolist()
    return {name: g - sum(c * other[name] for c, other in zip(shares, keep, strict=True)) for name, g in push.items()}


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise the wrapped loss along what is left of its gradient."""
    config, wrapped = ctx.config, ctx.config.wrapped

    def apart(ctx: MethodContext[Config], step: Step) -> dict[str, Tensor]:
        pairs = pair_losses(ctx.features(step.retain).similarity, ctx.model.logit_scale.exp())[: config.samples]
        return {"forget": total(wrapped.loss(ctx, step)), **{f"retain {i}": loss for i, loss in enumerate(pairs)}}

    def project(terms: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        push, *keep = terms.values()
        if config.scope == "model":
            return rejected(push, keep)
        return {n: rejected({n: g}, [{n: other[n]} for other in keep])[n] for n, g in push.items()}

    ctx.fit(apart, transform=project)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="orthograd",
            summary="Minimise another method's loss, orthogonal to the gradients of single retain pairs.",
            paper="https://arxiv.org/abs/2503.02312",
            departures="A contrastive loss has no term of a single sample: a pair's is its share of the batch's loss, "
            "with the others as negatives. AdamW scales the projected gradient, which turns it a little.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
