"""The mathematics methods share. Everything is a function of tensors; importing it costs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from salmu_core.contract.features import Features

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.context import MethodContext
    from salmu_core.contract.steps import Batch, Step

#: A setting of methods that leave it to people what keeps retain pairs; `retention` is told.
Retention = Annotated[
    Literal["retain", "kl"],
    Field(
        description="What keeps the retain set: `retain`, its contrastive loss; `kl`, the divergence of its in-batch "
        "softmax from the original's."
    ),
]


def contrastive(pairs: Features, logit_scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy over a batch (Radford et al. 2021, figure 3): a scalar.

    Args:
        pairs: Embeddings of the batch.
        logit_scale: The temperature's inverse, already exponentiated.
    """
    per_image, per_text = _log_likelihoods(pairs, logit_scale)
    return -(per_image.mean() + per_text.mean()) / 2


def contrastive_rows(pairs: Features, logit_scale: Tensor) -> Tensor:
    """Each pair's share of `contrastive` ``[b]``: its negative log-likelihood, mean of both directions."""
    per_image, per_text = _log_likelihoods(pairs, logit_scale)
    return -(per_image + per_text) / 2


def _log_likelihoods(pairs: Features, logit_scale: Tensor) -> tuple[Tensor, Tensor]:
    logits = logit_scale * pairs.similarity
    return logits.log_softmax(dim=1).diagonal(), logits.log_softmax(dim=0).diagonal()


def divergence(logits: Tensor, original: Tensor) -> Tensor:
    """KL(softmax of ``original`` || softmax of ``logits``), each ``[b, b]``, mean over rows and both directions."""
    from torch.nn.functional import kl_div

    to_text = kl_div(logits.log_softmax(dim=1), original.softmax(dim=1), reduction="batchmean")
    to_image = kl_div(logits.T.log_softmax(dim=1), original.T.softmax(dim=1), reduction="batchmean")
    return (to_text + to_image) / 2


def original_divergence(ctx: MethodContext[Any], batch: Batch, pairs: Features, temperature: float = 1.0) -> Tensor:
    """How far a batch's in-batch softmax is from the original's: `divergence`, each at its own logit scale.

    Args:
        batch: The batch.
        pairs: Its embeddings under ``ctx.model``.
        temperature: T of distillation (Hinton et al. 2015): logits are divided by it, the divergence is times T^2.
    """
    scale, before = (model.logit_scale.exp() / temperature for model in (ctx.model, ctx.reference))
    original = before * ctx.reference_features(batch).similarity
    return temperature**2 * divergence(scale * pairs.similarity, original)


def retention(ctx: MethodContext[Any], step: Step, retain: Features, kind: Retention) -> Tensor:
    """What keeps retain pairs: `contrastive` of them, or `original_divergence`."""
    if kind == "kl":
        return original_divergence(ctx, step.retain, retain)
    return contrastive(retain, ctx.model.logit_scale.exp())


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
