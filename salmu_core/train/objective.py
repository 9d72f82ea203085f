"""CLIP's contrastive loss over a batch that several processes hold parts of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional


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


def off_centre(cosines: Tensor) -> Tensor:
    """Mean square, over pictures and captions, of their mean cosine with everybody else's captions and pictures.

    The contrastive loss does not feel a constant added to all cosines of a picture or of a caption, and small
    models let it grow to .3 and more; this holds it near 0, where large models are.

    Args:
        cosines: ``[n, n]``, own pairs on the diagonal.
    """
    wrong = cosines - torch.diag(cosines.diagonal())
    others = len(cosines) - 1
    return ((wrong.sum(0) / others).square().mean() + (wrong.sum(1) / others).square().mean()) / 2


def contrastive(
    images: Tensor, texts: Tensor, scale: Tensor, centring: float, sizes: Sequence[int] = (), rank: int = 0
) -> Tensor:
    """CLIP's symmetric cross-entropy over the pairs of all processes, plus the centring term: a scalar.

    With several processes each gets its own rows' part, times the number of processes: averaged over the processes,
    values and gradients are those of the whole batch.

    Args:
        images: This process's normalised image features, ``[n, d]``.
        texts: Those of the captions, ``[n, d]``.
        scale: The inverse temperature.
        centring: Weight of `off_centre`.
        sizes: Pairs of each process; empty or one number for a single process.
        rank: Which process this is.
    """
    if len(sizes) < 2:
        cosines = images @ texts.T
        # `losses.contrastive` but for the last bits, which both those who train with it and the built models hold.
        logits, target = scale * cosines, torch.arange(len(cosines), device=cosines.device)
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        return loss + centring * off_centre(cosines) if centring else loss
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
