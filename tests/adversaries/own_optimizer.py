"""Brings a loop of its own: its steps, precision and schedule are nobody's."""

import torch

from salmu_core import MethodSpec, hookimpl


def unlearn(ctx):
    optimizer = torch.optim.SGD(ctx.model.parameters(), lr=0.01)
    for batch in ctx.batches("forget", 8):
        optimizer.zero_grad()
        ctx.features(batch).pair_similarity.mean().backward()
        optimizer.step()
    optimizer.zero_grad()


@hookimpl
def salmu_methods():
    return [MethodSpec(name="own-optimizer", summary="An adversary.", paper="https://arxiv.org/abs/1", unlearn=unlearn)]
