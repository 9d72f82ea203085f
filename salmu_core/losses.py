"""The mathematics methods share. Everything is a function of tensors; importing it costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from salmu_core.contract.features import Features

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.context import MethodContext
    from salmu_core.contract.steps import Batch, Step


def contrastive(pairs: Features, logit_scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy over a batch (Radford et al. 2021, figure 3): a scalar.

    Args:
        pairs: Embeddings of the batch.
        logit_scale: The temperature's inverse, already exponentiated.
    """
    logits = logit_scale * pairs.similarity
    per_image = logits.log_softmax(dim=1).diagonal()
    per_text = logits.log_softmax(dim=0).diagonal()
    return -(per_image.mean() + per_text.mean()) / 2


def contrastive_loss(ctx: MethodContext[Any], batch: Batch) -> Tensor:
    """`contrastive` of a batch under ``ctx.model``, at the model's own temperature."""
    return contrastive(ctx.features(batch), ctx.model.logit_scale.exp())


def forget_loss(ctx: MethodContext[Any], step: Step) -> Tensor:
    """`contrastive_loss` of a step's forget pairs; its gradients over a set are computed once for all who ask."""
    return contrastive_loss(ctx, step.forget)


def retain_loss(ctx: MethodContext[Any], step: Step) -> Tensor:
    """`contrastive_loss` of a step's retain pairs; its gradients over a set are computed once for all who ask."""
    return contrastive_loss(ctx, step.retain)


def mse(a: Tensor, b: Tensor | float) -> Tensor:
    """Mean squared difference of all elements: a scalar."""
    return (a - b).square().mean()


def total(terms: Tensor | Mapping[str, Tensor]) -> Tensor:
    """The scalar a loss stands for: itself, or the sum of its named terms."""
    if isinstance(terms, Mapping):
        values = list(terms.values())
        return sum(values[1:], start=values[0])
    return terms
