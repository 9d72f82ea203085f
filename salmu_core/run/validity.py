"""Whether a model is a valid result of unlearning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize

from salmu_core.clip.weights import share_changed
from salmu_core.store.records import Status


def _unsaved(model: nn.Module) -> dict[str, object]:
    """What a model computes with and a checkpoint does not hold: the kinds of its modules, and some buffers."""
    saved = model.state_dict().keys()
    kinds: dict[str, object] = {f"module {name or 'model'}": type(module) for name, module in model.named_modules()}
    return kinds | {f"buffer {name}": value for name, value in model.named_buffers() if name not in saved}


def _same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and bool(torch.equal(a, b))
    return a is b


def judge_state(after: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor]) -> tuple[Status, str]:
    """Whether tensors can be those of a model, by their names, types and shapes, and if not, why not."""
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        return "altered", f"the model's tensors are not those it came with: {', '.join(odd[:3])}"
    for name, value in after.items():
        if value.shape != before[name].shape or value.dtype != before[name].dtype:
            return "altered", (
                f"{name} is {value.dtype} {tuple(value.shape)}, it was {before[name].dtype} {tuple(before[name].shape)}"
            )
    return "valid", ""


def judge(model: nn.Module, original: nn.Module) -> tuple[Status, str]:
    """Whether a model is a valid result of unlearning from ``original``, and if not, why not."""
    if adapted := [name for name, part in model.named_modules() if parametrize.is_parametrized(part)]:
        return "altered", (
            f"{adapted[0] or 'the model'} still has adapters, which no checkpoint can hold: "
            "`with ctx.adapters(...):` merges them at its end"
        )
    after = model.state_dict()
    status, reason = judge_state(after, original.state_dict())
    if status != "valid":
        return status, reason
    unsaved = _unsaved(model)
    if odd := sorted(name for name, part in _unsaved(original).items() if not _same(part, unsaved.get(name))):
        return "altered", f"{odd[0]} is another one, which no checkpoint can hold"
    for name, value in after.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return "non-finite", f"{name} has NaN or infinite values"
    if share_changed(model, original) == 0:
        return "unchanged", "not a single weight differs from those it began with"
    return "valid", ""
