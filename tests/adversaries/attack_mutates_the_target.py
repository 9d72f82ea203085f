"""Reaches for the attacked checkpoint behind its embeddings."""

import gc

import torch
from open_clip.model import CLIP

from salmu_core import AttackSpec, Query, hookimpl


def attack(ctx):
    with torch.no_grad():
        for found in gc.get_objects():
            if type(found) is CLIP:
                found.visual.proj.mul_(1.5)
    return Query(ctx.forget.captions)


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-mutates-the-target",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            query=attack,
        )
    ]
