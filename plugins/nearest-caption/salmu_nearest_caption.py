"""Nearest Caption: fine-tune forget images on the caption of somebody else that the original finds nearest."""

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor

from salmu_core import Batch, LearningRate, MethodContext, MethodSpec, Step, TrainingConfig, Weight, hookimpl
from salmu_core.losses import contrastive


class Config(TrainingConfig):
    """Settings of Nearest Caption."""

    lr: LearningRate = 2.08e-3
    retention_weight: Weight = Field(default=0.33, description="Weight of the contrastive loss of retain pairs.")


def numbered(values: Sequence[Hashable], device: torch.device) -> Tensor:
    """The same number for equal values, int64 ``[n]``; each None has one of its own."""
    known: dict[Hashable, int] = {}
    keys = [("row", row) if value is None else ("value", value) for row, value in enumerate(values)]
    return torch.tensor([known.setdefault(key, len(known)) for key in keys], device=device)


def relabelled(ctx: MethodContext[Config]) -> Callable[[Batch], Batch]:
    """What gives each forget image of a batch the caption, of either set, that the original embeds nearest to it.

    Captions of the person shown, and those that read like the image's own, are left out.
    """
    captions = (*ctx.forget.captions, *ctx.retain.captions)
    people = numbered((*ctx.forget.identity_ids, *ctx.retain.identity_ids), ctx.device)
    said, texts = numbered(captions, ctx.device), ctx.reference_texts(captions)

    def relabel(batch: Batch) -> Batch:
        rows = torch.as_tensor(batch.index, device=ctx.device)[:, None]
        own = (people[rows] == people) | (said[rows] == said)
        cosines = ctx.reference_features(batch).image @ texts.T
        return batch.captioned([captions[row] for row in cosines.masked_fill(own, -torch.inf).argmax(dim=1)])

    return relabel


def unlearn(ctx: MethodContext[Config]) -> None:
    """Minimise ``C(F relabelled) + w C(R)``; the original's captions never change, so neither do the labels."""
    relabel = relabelled(ctx)

    def loss(ctx: MethodContext[Config], step: Step) -> Mapping[str, Tensor]:
        forget, retain = ctx.features(relabel(step.forget), step.retain)
        scale = ctx.model.logit_scale.exp()
        return {
            "relabelled": contrastive(forget, scale),
            "retention": ctx.config.retention_weight * contrastive(retain, scale),
        }

    ctx.fit(loss)


@hookimpl
def salmu_methods() -> list[MethodSpec]:
    """Declare the method."""
    return [
        MethodSpec(
            name="nearest-caption",
            summary="Fine-tune forget images on the nearest caption of somebody else; keep the retain set.",
            paper="https://arxiv.org/abs/2303.11570",
            departures="Boundary Shrink carried over to CLIP: the nearest wrong class is a caption of another person, "
            "found by the original's cosine instead of an adversarial step, and the loss is contrastive. Its family, "
            "fine-tuning on random labels, is arXiv 1911.04933 and, with a mask of weights, 2310.12508. The retain "
            "term is an addition.",
            config=Config,
            chosen_on="mini",
            unlearn=unlearn,
        )
    ]
