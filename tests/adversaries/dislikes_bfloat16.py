"""Takes a detour by numpy, which knows no bfloat16."""

import torch

from salmu_core import MethodSpec, hookimpl


def loss(ctx, step):
    similarity = ctx.features(step.forget).similarity
    hardest = similarity.detach().numpy().argmax(axis=1)
    return similarity[torch.arange(len(hardest)), torch.from_numpy(hardest)].mean()


@hookimpl
def salmu_methods():
    return [MethodSpec(name="dislikes-bfloat16", summary="An adversary.", paper="https://arxiv.org/abs/1", loss=loss)]
