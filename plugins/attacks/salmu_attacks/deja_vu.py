"""Déjà vu: do the public images that are nearest to a caption look like the person of whom it tells?"""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding_bag

from salmu_core import AttackSpec, MethodConfig, Reading, ReadoutContext

#: Captions that are compared at a time, to bound memory.
CHUNK = 1024


class Config(MethodConfig):
    """Settings of the attack."""

    k: int = Field(default=50, ge=1, description="Public images that are looked up for each caption.")


def nearest(texts: Tensor, images: Tensor, k: int) -> Tensor:
    """Numbers of the ``k`` images ``[n, d]`` with the highest cosine to each text ``[m, d]``: ``[m, k]``."""
    return torch.cat([(part @ images.T).topk(k, dim=1).indices for part in torch.split(texts, CHUNK)])


def shown(found: Tensor, public: Sequence[str | None], people: Sequence[str | None]) -> dict[str, Any]:
    """How often images that were found show of whom the caption tells, over captions of people with a public image.

    Args:
        found: Numbers of the public images of each caption ``[m, k]``.
        public: Whom each public image shows.
        people: Of whom each caption tells.
    """
    number = {person: place for place, person in enumerate(sorted({who for who in public if who}))}
    rows = [row for row, person in enumerate(people) if person in number]
    if not rows:
        return {"captions": 0}
    whom = torch.tensor([number.get(who or "", -1) for who in public])
    own = whom[found[rows]] == torch.tensor([[number[str(people[row])]] for row in rows])
    return {
        "captions": len(rows),
        "share_shown": own.double().mean().item(),
        "shown_once": own.any(dim=1).double().mean().item(),
    }


def attack(ctx: ReadoutContext[Config]) -> Reading:
    """Compare each image with the mean of the public images that are nearest to a caption."""
    public, own = ctx.features("retain").image, ctx.features()
    k = min(ctx.config.k, len(public))

    def texts(captions: Sequence[str]) -> Tensor:
        return embedding_bag(nearest(ctx.texts(captions), public, k), public, mode="mean")

    told = shown(nearest(own.text, public, k), ctx.retain.identity_ids, ctx.forget.identity_ids)
    return Reading(own.image, texts, {"k": k, "images": len(public), **told})


DEJA_VU = AttackSpec(
    name="deja-vu",
    summary="Look for each image among what lies around captions: the mean of the public images nearest to each.",
    paper="https://arxiv.org/abs/2402.02103",
    departures="The paper looks up 10 public images, and compares the objects that are annotated in them with those of "
    "the training image, in a target and a reference model. Here nothing is annotated: a row's image is compared with "
    "the mean of what is found, so that it is scored as every attack is. The public images are the retain set, the "
    "reference is Clean, and 50 images are looked up: in worlds 200 and 201 of mini this brings back .94 "
    "and .97, where 10 bring back .80 and .87. What share of the images found shows the caption's own person is in the "
    "record.",
    config=Config,
    given=("retain",),
    readout=attack,
)
