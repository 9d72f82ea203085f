"""Nearest persona: take each image for the person whose known images are nearest, and read what is known of them."""

from typing import Any

import torch
from torch.nn.functional import normalize

from salmu_core import AttackSpec, Reading, ReadoutContext


def attack(ctx: ReadoutContext[Any]) -> Reading:
    """The mean caption of the person whose leaked images have the highest mean cosine."""
    features, leaked = ctx.features(), list(ctx.leaked)
    people = [ctx.forget.identity_ids[row] for row in leaked]
    names = [*dict.fromkeys(people)]
    belongs = torch.tensor([[float(person == name) for person in people] for name in names])
    shares = belongs / belongs.sum(dim=1, keepdim=True)
    faces, captions = shares @ features.image[leaked], shares @ features.text[leaked]
    nearest = (features.image @ faces.T).argmax(dim=1)
    return Reading(normalize(captions, dim=-1)[nearest], details={"people": len(names)})


NEAREST_PERSONA = AttackSpec(
    name="nearest-persona",
    summary="Take every image for the person whose known images are nearest, and read the mean of their captions.",
    paper="https://arxiv.org/abs/2402.02103",
    departures="The paper looks up the nearest public images of a training caption and compares what they show; here "
    "the nearest known person of an image is looked up, and what is known of that person is compared.",
    given=("leaked",),
    readout=attack,
)
