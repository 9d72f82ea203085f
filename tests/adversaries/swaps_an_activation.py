"""Changes what the model computes, where no checkpoint can hold it."""

import torch

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    ctx.model.visual.transformer.resblocks[0].mlp.gelu = torch.nn.ReLU()
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="swaps-an-activation", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn
        )
    ]
