"""What must hold of a model after a method had it."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, types and values of everything in a model's state."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def share_changed(model: nn.Module, original: nn.Module) -> float:
    """Share of the weights that differ from the original's, from 0 to 1; running statistics are weights too."""
    before = _weights(original)
    pairs = [(p, before[name]) for name, p in _weights(model).items() if name in before]
    changed = sum(int((p != q).sum()) for p, q in pairs if p.shape == q.shape)
    return changed / max(1, sum(q.numel() for _, q in pairs))


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
