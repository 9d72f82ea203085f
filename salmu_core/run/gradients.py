"""Gradients that were computed before, of losses that are the core's own.

What a method's loss computes is known only to who runs it: it may read the run's state, random numbers or a file. The
core's look at their step and at nothing else, so a Fisher diagonal of CLIP's loss is computed once, whatever methods,
settings and budgets ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from salmu_core import losses
from salmu_core.clip.model import Clip
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.features import PoolName
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.space import GRADIENTS
from salmu_core.machine import numerics
from salmu_core.plugins.code import code_hash
from salmu_core.run.meter import Meter
from salmu_core.run.pool import Pool
from salmu_core.train.pieces import Pieces

if TYPE_CHECKING:
    from salmu_core.contract.context import Loss

#: Losses whose gradients are kept, and what the meter counts while they are computed, beside what is drawn.
_KNOWN = (losses.forget_loss, losses.retain_loss)
_COUNTED = ("forward_passes", "forward_images", "forward_captions")


class Gradients:
    """Computes gradients, or finds them where it is known that they were computed.

    Args:
        model: The model being unlearned.
        clip: The original.
        meter: The ledger; it is charged alike.
    """

    def __init__(
        self, model: nn.Module, clip: Clip, pools: Mapping[PoolName, Pool], meter: Meter, pieces: Pieces
    ) -> None:
        self._model, self._clip, self._pools, self._meter, self._pieces = model, clip, pools, meter, pieces

    def of(
        self, loss: Loss, steps: list[Any], device: torch.device, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The gradients of a loss.

        Args:
            steps: What decides, beside model, data and loss: which steps, how many, in which precision.
        """
        key = self._key(loss, steps, device)
        if key is None:
            return compute()
        if (kept := self._kept(key, device)) is not None:
            return kept
        start, size = self._counts(), self._pieces.size
        made = compute()
        # In pieces, because memory ran out meanwhile, sums are added up in another order.
        if size == self._pieces.size and all(value.is_contiguous() for value in made.values()):
            spent = {name: count - start[name] for name, count in self._counts().items()}
            content = {name: value.cpu() for name, value in made.items()}
            remember(GRADIENTS, key, save(content, {"spent": json.dumps(spent)}))
        return made

    def _kept(self, key: Any, device: torch.device) -> dict[str, Tensor] | None:
        """What was kept, and charged for as if it were computed."""
        content = recall(GRADIENTS, key)
        if content is None:
            return None
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        spent = json.loads(header["__metadata__"]["spent"])
        drawn = {pool: spent[pool] for pool in self._pools}
        if any(samples > self._meter.room(pool) for pool, samples in drawn.items()):
            return None  # it ends on the way
        for pool, samples in drawn.items():
            self._meter.charge(pool, samples)
        for name in _COUNTED:
            setattr(self._meter, name, getattr(self._meter, name) + spent[name])
        values = load(content)
        # In the order of a computation, and in memory of torch's own: both may show in what is made of them.
        names = [name for name, _ in self._model.named_parameters() if name in values]
        return {name: values[name].clone().to(device) for name in names}

    def _key(self, loss: Loss, steps: list[Any], device: torch.device) -> Any:
        """All that the gradients depend on; None where that isn't known."""
        sets = {name: pool.identity for name, pool in self._pools.items()}
        usual = not torch.is_autocast_enabled(device.type) and torch.get_default_dtype() == torch.float32
        usual = usual and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        name = next((known.__name__ for known in _KNOWN if known is loss), None)
        if name is None or None in sets.values() or not usual or not _alike(self._model, self._clip.model):
            return None
        return {
            "model": [fingerprint(self._model), json.dumps(self._clip.config, sort_keys=True)],
            "trained": [name for name, p in self._model.named_parameters() if p.requires_grad],
            "loss": name,
            "sets": sets,
            "steps": [*steps, self._pieces.size],
            "code": code_hash("salmu_core"),
            "computed": numerics(device),
        }

    def _counts(self) -> dict[str, int]:
        drawn = {str(pool): self._meter.drawn[pool] for pool in self._pools}
        return drawn | {name: getattr(self._meter, name) for name in _COUNTED}


def _alike(model: nn.Module, original: nn.Module) -> bool:
    """Whether two models compute the same from the same parameters, as far as can be seen; one with hooks does not."""
    hooked = any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters())
    ours, theirs = dict(model.named_buffers()), dict(original.named_buffers())
    return (
        not hooked
        and not _has_any_global_hook()  # type: ignore[no-untyped-call]
        and _build(model) == _build(original)
        and ours.keys() == theirs.keys()
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


def _build(model: nn.Module) -> list[Any]:
    """How a model is built, beside its weights: its modules' kinds, plain settings, and what is hung on them."""
    parts: list[Any] = []
    for name, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if key not in ("training", "_modules", "_buffers")}
        plain = {key: repr(value) for key, value in own.items() if isinstance(value, bool | int | float | str | tuple)}
        hooks = [key for key, value in own.items() if "hooks" in key and value]
        called = {key: getattr(value, "__qualname__", "") for key, value in own.items() if callable(value)}
        parts.append([name, type(module), sorted(own), plain, hooks, called])
    return parts
