"""Takes a detour by numpy, which knows no bfloat16."""

import torch

from salmu_core import AttackSpec, TrainingConfig, hookimpl


def loss(ctx, step):
    similarity = ctx.features(step.retain).similarity
    hardest = similarity.detach().numpy().argmax(axis=1)
    return similarity[torch.arange(len(hardest)), torch.from_numpy(hardest)].mean()


def attack(ctx):
    ctx.fit(loss, steps=1)


@hookimpl
def salmu_attacks():
    return [
        AttackSpec(
            name="attack-dislikes-bfloat16",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            config=TrainingConfig,
            given=("retain",),
            model=attack,
        )
    ]
