"""What must hold of a model after a method had it."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from salmu_core.store.records import Status


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over names, types and values of everything in a model's state."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def share_changed(model: nn.Module, original: nn.Module) -> float:
    """Share of the weights that differ from the original's, from 0 to 1."""
    before = dict(original.named_parameters())
    pairs = [(p, before[name]) for name, p in model.named_parameters() if name in before]
    changed = sum(int((p != q).sum()) for p, q in pairs if p.shape == q.shape)
    return changed / max(1, sum(q.numel() for _, q in pairs))


def _unsaved(model: nn.Module) -> dict[str, object]:
    """What a model computes with and a checkpoint does not hold: the kinds of its modules, and some buffers."""
    saved = model.state_dict().keys()
    found: dict[str, object] = {f"module {name or 'model'}": type(module) for name, module in model.named_modules()}
    return found | {f"buffer {name}": value for name, value in model.named_buffers() if name not in saved}


def _same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and bool(torch.equal(a, b))
    return a is b


def judge(model: nn.Module, original: nn.Module) -> tuple[Status, str]:
    """Whether a model is a valid result of unlearning from ``original``, and if not, why not."""
    before, after = original.state_dict(), model.state_dict()
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        return "altered", f"the model's tensors are not those it came with: {', '.join(odd[:3])}"
    for name, value in after.items():
        if value.shape != before[name].shape or value.dtype != before[name].dtype:
            return "altered", (
                f"{name} is {value.dtype} {tuple(value.shape)}, it was {before[name].dtype} {tuple(before[name].shape)}"
            )
    if odd := sorted(name for name, part in _unsaved(original).items() if not _same(part, _unsaved(model).get(name))):
        return "altered", f"{odd[0]} is another one, which no checkpoint can hold"
    for name, value in after.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return "non-finite", f"{name} has NaN or infinite values"
    if share_changed(model, original) == 0:
        return "unchanged", "not a single weight differs from Compromised"
    return "valid", ""
