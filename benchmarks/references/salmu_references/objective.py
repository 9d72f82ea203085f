"""CLIP's contrastive loss over a batch that several processes hold parts of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional

from salmu_core.train.pretraining import Batch, Trainer


class SharedTrainer(Trainer):
    """A model in training, in one process or in several."""

    def loss(self, images: Tensor, texts: Tensor, scale: Tensor, batch: Batch) -> Tensor:
        if len(batch.sizes) < 2:
            return super().loss(images, texts, scale, batch)
        parts = images.float(), texts.float()
        return shared_contrastive(*parts, scale, self.settings.centring, batch.sizes, self.place.rank)


class _Gather(torch.autograd.Function):
    """Rows of all processes, ``[size, ...]`` each, end to end; gradients flow back to where the rows came from."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # Every process holds a part of the loss, so what it says of all rows is summed.
        grad = grads[0].contiguous()
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def gather(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes in order of their ranks, with gradients.

    Args:
        rows: This process's, ``[sizes[rank], d]``.
        sizes: Rows of each process; they may differ.

    Returns:
        ``[sum(sizes), d]``.
    """
    largest = max(sizes)
    padded = functional.pad(rows, (0, 0, 0, largest - len(rows)))
    every = _Gather.apply(padded).split(largest)
    return torch.cat([part[:size] for part, size in zip(every, sizes, strict=True)])


def shared_contrastive(
    images: Tensor, texts: Tensor, scale: Tensor, centring: float, sizes: Sequence[int], rank: int
) -> Tensor:
    """The part of `salmu_core.train.pretraining.contrastive` over the pairs of all processes that is this process's.

    It is multiplied by the number of processes: averaged over the processes, values and gradients are those of the
    whole batch.

    Args:
        images: This process's normalised image features, ``[n, d]``.
        texts: Those of the captions, ``[n, d]``.
        scale: The inverse temperature.
        centring: Weight of `off_centre`.
        sizes: Pairs of each process.
        rank: Which process this is.
    """
    # Only the own rows against all: nobody holds the whole matrix.
    first, total = sum(sizes[:rank]), sum(sizes)
    target = torch.arange(first, first + len(images), device=images.device)
    loss = torch.zeros((), device=images.device)
    for own, others in ((images, gather(texts, sizes)), (texts, gather(images, sizes))):
        cosines = own @ others.T
        loss = loss + functional.cross_entropy(scale * cosines, target, reduction="sum") / 2
        if centring:
            right = cosines.gather(1, target[:, None]).squeeze(1)
            loss = loss + centring * ((cosines.sum(1) - right) / (total - 1)).square().sum() / 2
    return loss * (len(sizes) / total)
