"""Makes itself reproducible at everybody's cost."""

import torch

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    torch.manual_seed(0)  # noqa: TID251 - the crime itself
    with ctx.edit() as weights:
        for weight in weights.values():
            weight.add_(torch.randn(weight.shape), alpha=1e-3)


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="seeds-the-global-generator",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
