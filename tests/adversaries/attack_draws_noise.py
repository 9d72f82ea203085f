"""Adds noise to the images, when they are embedded, from the global generator."""

import torch

from salmu_core import AttackSpec, Query, hookimpl


def noisy(images):
    return images + 0.1 * torch.randn_like(images)


def attack(ctx):
    return Query(images=noisy)


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-draws-noise",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            query=attack,
        )
    ]
