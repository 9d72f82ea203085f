"""Keeps a copy of the weights beside itself, by torch's own writer."""

from pathlib import Path

import torch

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    torch.save(dict(ctx.model.state_dict()), str(Path(__file__).parent / "cache.pt"))  # noqa: TID251 - the crime itself
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(name="saves-a-tensor", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)
    ]
