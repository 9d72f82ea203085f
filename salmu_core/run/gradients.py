"""Gradients that were computed before, of losses that look at their step and at nothing else.

What a loss computes is known only where all of its code is: here, where it names nothing but the core's losses and
functions that are as plain as itself, writes nothing, and asks its context for embeddings and the model alone. So a
Fisher diagonal of CLIP's loss is computed once, whatever methods, settings and budgets ask for it.
"""

from __future__ import annotations

import dis
import json
import random
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Generator, Tensor, nn

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

#: What a loss that is known may ask its context for.
_ASKED = frozenset({"features", "model", "device"})
#: Python's functions that it may call, and those of its operations that leave something behind or bring something in.
_BUILTINS = frozenset({"abs", "dict", "enumerate", "float", "int", "len", "list", "max", "min", "range", "sum", "zip"})
_LASTING = (
    "IMPORT",
    "STORE_GLOBAL",
    "STORE_NAME",
    "STORE_ATTR",
    "STORE_SUBSCR",
    "DELETE",
    "LOAD_NAME",
    "LOAD_BUILD",
    "YIELD",
)
#: What the meter counts while a loss is computed, beside what is drawn.
_COUNTED = ("forward_passes", "forward_images", "forward_captions")


def code_of(loss: object, known: tuple[object, ...] = ()) -> Any:
    """All that decides what a loss makes of what it is given, as JSON; None where it isn't known.

    Args:
        loss: The loss.
        known: Functions that it is called by, and that are looked at already.
    """
    if type(loss) is not FunctionType or loss.__closure__ or loss.__defaults__ or loss.__kwdefaults__ or vars(loss):
        return None
    named: dict[str, Any] = {}
    content = _content(loss.__code__, named)
    if content is None:
        return None
    for name in named:
        value: Any = loss.__globals__.get(name)
        inner: Any = None
        if name not in loss.__globals__ and name in _BUILTINS:
            inner = name
        elif isinstance(value, FunctionType) and value in vars(losses).values():
            inner = value.__name__  # its code is the core's
        elif not any(value is function for function in (*known, loss)):
            inner = code_of(value, (*known, loss))
        if inner is None:
            return None
        named[name] = inner
    return [content, named]


def _content(code: CodeType, named: dict[str, Any]) -> Any:
    """A code object as JSON, with those within it; adds the global names that it looks up."""
    constants = []
    for constant in code.co_consts:
        inner = _content(constant, named) if isinstance(constant, CodeType) else _constant(constant)
        if inner is None:
            return None
        constants.append(inner)
    for operation in dis.get_instructions(code):
        if operation.opname.startswith(_LASTING):
            return None
        if operation.opname == "LOAD_GLOBAL":
            named[operation.argval] = None
        elif operation.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")) and str(operation.argval).startswith("_"):
            return None
    shape = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    names = [code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars]
    return [code.co_code.hex(), code.co_exceptiontable.hex(), constants, shape, names]


def _constant(value: object) -> str | None:
    parts = value if isinstance(value, tuple) else (value,)
    plain = all(part is None or isinstance(part, bool | int | float | str) for part in parts)
    return f"{type(value).__name__} {value!r}" if plain else None


class _Watched:
    """A context that notes whether it is asked for anything that a loss may not ask for."""

    def __init__(self, ctx: object) -> None:
        self.__dict__.update(_ctx=ctx, _others=set())

    def __getattr__(self, name: str) -> Any:
        if name not in _ASKED:
            self._others.add(name)
        return getattr(self._ctx, name)


class Gradients:
    """Computes gradients, or finds them where it is known that they were computed.

    Args:
        model: The model being unlearned.
        clip: The original.
        pools: The sets that a loss can draw from.
        meter: The ledger; it is charged alike.
        rng: The run's generator.
        pieces: How much is embedded at a time.
    """

    def __init__(
        self,
        model: nn.Module,
        clip: Clip,
        pools: Mapping[PoolName, Pool],
        meter: Meter,
        rng: Generator,
        pieces: Pieces,
    ) -> None:
        self._model, self._clip, self._pools, self._meter = model, clip, pools, meter
        self._rng, self._pieces = rng, pieces

    def of(
        self,
        ctx: object,
        loss: Loss,
        steps: list[Any],
        device: torch.device,
        compute: Callable[[Any], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """The gradients of a loss.

        Args:
            ctx: What the loss is given.
            loss: The loss.
            steps: What decides, beside model, data and loss: which steps, how many, in which precision.
            device: Where to compute.
            compute: Does so, of the loss given a context.
        """
        key = self._key(loss, steps, device)
        if key is None:
            return compute(ctx)
        if (kept := self._kept(key, device)) is not None:
            return kept
        watched, before, start = _Watched(ctx), self._state(device), self._counts()
        made = compute(watched)
        plain = all(value.is_contiguous() for value in made.values())
        if plain and not watched._others and before == self._state(device):
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
        sets, code = {name: pool.identity for name, pool in self._pools.items()}, code_of(loss)
        usual = not torch.is_autocast_enabled(device.type) and torch.get_default_dtype() == torch.float32
        usual = usual and torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        if code is None or None in sets.values() or not usual or _build(self._model) != _build(self._clip.model):
            return None
        return {
            "model": [fingerprint(self._model), json.dumps(self._clip.config, sort_keys=True)],
            "trained": [name for name, p in self._model.named_parameters() if p.requires_grad],
            "loss": code,
            "sets": sets,
            "steps": [*steps, self._pieces.size],
            "code": code_hash("salmu_core"),
            "computed": numerics(device),
        }

    def _state(self, device: torch.device) -> Any:
        """What a loss must leave as it is: random numbers, the model, and how much is embedded at a time."""
        own = torch.get_device_module(device).get_rng_state() if device.type != "cpu" else torch.get_rng_state()
        others = str(np.random.get_state()), random.getstate()
        generators = [state.tolist() for state in (self._rng.get_state(), torch.get_rng_state(), own)]
        return [generators, others, fingerprint(self._model), _build(self._model), self._pieces.size]

    def _counts(self) -> dict[str, int]:
        drawn = {str(pool): self._meter.drawn[pool] for pool in self._pools}
        return drawn | {name: getattr(self._meter, name) for name in _COUNTED}


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
