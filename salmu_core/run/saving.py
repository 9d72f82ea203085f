"""What a run is made of while it trains, taken down after a step, and put back in another attempt.

A method's own code is not kept: it runs again from its beginning, and a training that it asks for is gone on with, or
taken as it ended, if everything before it is what it was. So a run that was interrupted ends with the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from accelerate import Accelerator
from torch import Generator, Tensor, nn

from salmu_core.clip.weights import fingerprint
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import MethodError
from salmu_core.machine import peak_memory
from salmu_core.run.closures import UnseenError, carried
from salmu_core.run.meter import Meter
from salmu_core.run.random_states import random_states, set_random_states
from salmu_core.run.saves import Saves, StartAgain, Stopped, Writing
from salmu_core.run.state import savable
from salmu_core.run.texts import ReferenceTexts
from salmu_core.train.descent import Descent
from salmu_core.train.loop import UNSAVED, Saving
from salmu_core.train.pieces import Pieces
from salmu_core.train.place import Accelerated

#: The end of a training is kept where it took this share of the time between two saves.
_WORTH = 1 / 30
#: How far losses on an accelerator may differ that come of the same weights; on a CPU they are the same.
_CLOSE = 1e-3
#: Of a training that can't be gone on with.
_STARTS_AGAIN = (
    "Where this run is interrupted, it makes this training again, as {}: what goes on from step to step belongs into "
    "ctx.state, or into a module of fit(also=...)."
)


@dataclass(frozen=True)
class Parts:
    """What of a run changes while it trains.

    Attributes:
        rng: The run's generator.
        state: What the method keeps for a run that goes on from here.
        texts: The original's embeddings of texts.
        pieces: How much is embedded at a time.
        others: By ids, what else a method is given and keeps nothing in.
    """

    model: nn.Module
    rng: Generator
    state: dict[str, Tensor]
    texts: ReferenceTexts
    meter: Meter
    pieces: Pieces
    accelerator: Accelerator
    others: Mapping[int, str]


def saving(
    saves: Saves | None,
    parts: Parts,
    also: Mapping[str, nn.Module] | None,
    functions: Sequence[Callable[..., Any] | None],
    steps: int | None,
) -> AbstractContextManager[Saving]:
    """Keeps a training of a run, where that is wished for: see `RunSaving`."""
    return nullcontext(UNSAVED) if saves is None else RunSaving(saves, parts, also or {}, functions, steps)


class RunSaving(Saving):
    """Keeps one training of a run; a context.

    Args:
        also: Modules that are trained beside the model.
        functions: What of the method is called in it: loss, transform, choice of parameters.
        steps: How many were asked for, if that was said.
    """

    def __init__(
        self,
        saves: Saves,
        parts: Parts,
        also: Mapping[str, nn.Module],
        functions: Sequence[Callable[..., Any] | None],
        steps: int | None,
    ) -> None:
        self._saves, self._parts, self._functions, self._steps = saves, parts, functions, steps
        self._modules = {"model": parts.model} | {f"also.{name}": module for name, module in also.items()}
        self._given = dict(parts.state)
        self._number, self._start, self._first = len(parts.meter.fits), time.monotonic(), 0
        self._known: Mapping[int, str] = {}
        self._carried: str | None = None
        self._before: dict[str, Any] = {}
        self._found: tuple[dict[str, Any], dict[str, Tensor]] | None = None
        self._writing: Writing | None = None
        self._expected: Mapping[str, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._saves.training = False
        if self._writing is not None:
            self._writing.stack.__exit__(kind or StartAgain, error or StartAgain(), traceback)

    def begin(self) -> tuple[int, int] | None:
        self._known = {**self._parts.others, **self._owned()}
        self._carried = self._now_carried()
        if self._carried is None:
            return None
        self._saves.training = True
        self._before = self._facts_before()
        self._found = self._saves.read(self._number)
        if self._found is None:
            return None
        facts = self._found[0]
        if facts["before"] != self._before:
            raise StartAgain("before one of its trainings it is not what it was")
        return facts["made"], facts["count"]

    def restore(self, descent: Descent) -> None:
        if self._found is None:
            return
        (facts, tensors), self._found = self._found, None
        self._first, self._expected = facts["made"], facts.get("terms")
        parts, groups = self._parts, _by_first_word(tensors)
        with torch.no_grad():
            for name, value in self._weights():
                value.copy_(tensors[name])
                if isinstance(value, nn.Parameter):
                    value.requires_grad_(name in facts["flags"])
        for name, module in self._inner():
            module.training = name in facts["modes"]
        if self._first < facts["count"]:
            descent.restore(groups.get("moments", {}))
        self._restore_state(facts["state"], groups.get("state", {}))
        set_random_states(parts.rng, parts.accelerator.device, facts["random"], groups["random"])
        embeddings = groups.get("texts", {}).get("all", torch.empty(0)).to(parts.accelerator.device)
        parts.texts.known = dict(zip(facts["texts"], embeddings, strict=True))
        parts.pieces.size = facts["micro_batch"]
        Accelerated(parts.accelerator).restore(facts["scaler"])
        parts.meter.restore(facts["meter"])
        self._saves.memory = max(self._saves.memory, facts["memory"])

    def evaluated(self, step: int, terms: Mapping[str, Tensor]) -> None:
        if self._expected is None and self._writing is None:
            return
        values = {name: float(term.detach()).hex() for name, term in terms.items()}
        expected, self._expected = self._expected, None
        if expected is not None and not self._alike(expected, values):
            raise StartAgain("the first loss after the steps that were kept is another one than it was")
        if self._writing is not None:
            start, writing, self._writing = time.perf_counter(), self._writing, None
            self._saves.finish(writing, {"terms": values})
            self._parts.meter.seconds_apart += time.perf_counter() - start
            if self._saves.stopping:
                raise Stopped

    def made(self, steps: int, count: int, descent: Descent) -> None:
        saves = self._saves
        if self._carried is None:
            return
        now, ends = time.monotonic(), steps == count
        share, since = (_WORTH, self._start) if ends else (1.0, saves.last)
        due = (ends and self._first) or saves.every.passed(now - since, steps - self._first, share)
        if saves.stopping or due:
            start, self._first = time.perf_counter(), steps
            self._writing = self._write(steps, count, descent)
            if self._writing is not None and ends:  # there is no other loss to wait for
                saves.finish(self._writing, {})
                self._writing = None
            self._parts.meter.seconds_apart += time.perf_counter() - start
        if saves.stopping and self._writing is None:
            raise Stopped

    def _write(self, steps: int, count: int, descent: Descent) -> Writing | None:
        """Take everything down."""
        parts, device = self._parts, self._parts.accelerator.device
        if (carried_now := self._now_carried()) != self._carried:
            if carried_now is not None:
                self._saves.say(_STARTS_AGAIN.format("its loss keeps something from step to step"))
            self._carried = None
            return None
        state = savable(parts.state, parts.model)
        drawn_from, generators = random_states(parts.rng, device)
        tensors = dict(self._weights()) | {f"random/{name}": value for name, value in generators.items()}
        tensors |= {f"state/{name}": value for name, value in state.items()}
        if steps < count:
            tensors |= {f"moments/{name}": value for name, value in descent.state().items()}
        if parts.texts.known:
            tensors["texts/all"] = torch.stack(list(parts.texts.known.values()))
        content = {
            "made": steps,
            "count": count,
            "before": self._before,
            "random": drawn_from,
            "modes": [place for place, module in self._inner() if module.training],
            "flags": [place for place, value in self._weights() if value.requires_grad],
            "state": {name: [self._given.get(name) is value, str(value.device)] for name, value in parts.state.items()},
            "texts": list(parts.texts.known),
            "micro_batch": parts.pieces.size,
            "scaler": Accelerated(parts.accelerator).state(),
            "meter": parts.meter.state(),
            "memory": max(self._saves.memory, peak_memory(device)),
        }
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        return self._saves.write(self._number, content, copies)

    def _restore_state(self, kept: Mapping[str, tuple[bool, str]], tensors: Mapping[str, Tensor]) -> None:
        """What the method keeps, in the tensors that it began with where it still had them."""
        made = {}
        for name, (same, device) in kept.items():
            if same:
                with torch.no_grad():
                    made[name] = self._given[name].copy_(tensors[name])
            else:
                made[name] = tensors[name].to(device)
        self._parts.state.clear()
        self._parts.state.update(made)

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        for name, module in self._modules.items():
            for part, value in (*module.named_parameters(), *module.named_buffers()):
                yield f"{name}/{part}", value

    def _inner(self) -> Iterator[tuple[str, nn.Module]]:
        for name, module in self._modules.items():
            for part, inner in module.named_modules():
                yield f"{name}/{part}", inner

    def _owned(self) -> dict[int, str]:
        """What is kept here, or must not be: by ids, and memory by its address."""
        owned = {id(module): name for name, module in self._modules.items()} | {id(self._parts.rng): "rng"}
        owned |= {id(self._parts.state): "state"}
        held = [*self._weights(), *((f"state/{name}", value) for name, value in self._given.items())]
        places = {value.untyped_storage().data_ptr(): name for name, value in held if isinstance(value, Tensor)}
        return owned | {place: name for place, name in places.items() if place}

    def _now_carried(self) -> str | None:
        """What the method's functions carry; None, and said, where that can't be seen or what it keeps not saved."""
        try:
            savable(self._parts.state, self._parts.model)
            return carried(self._functions, self._known)
        except UnseenError as error:
            self._saves.say(_STARTS_AGAIN.format(f"its loss holds {error}"))
        except MethodError:  # which the run's end says
            pass
        return None

    def _facts_before(self) -> dict[str, Any]:
        """What must be the same in another attempt before its training is gone on with."""
        parts, device = self._parts, self._parts.accelerator.device
        facts, states = random_states(parts.rng, device)
        meter = parts.meter.state()
        exact = device.type == "cpu"  # elsewhere, what is computed of the weights differs in its last bits
        return {
            "weights": {name: fingerprint(module) for name, module in self._modules.items()},
            "state": {name: hash_json(value.tolist()) for name, value in savable(self._given, parts.model).items()},
            "random": hash_json([facts, {name: value.tolist() for name, value in states.items()}]),
            "counts": [meter["drawn"], *(meter["counts"][name] for name in ("steps", "passes", "probes"))],
            "functions": self._carried if exact else carried(self._functions, self._known, exact),
            "asked": [self._steps, meter["fits"]],
        }

    def _alike(self, then: Mapping[str, str], now: Mapping[str, str]) -> bool:
        if self._parts.accelerator.device.type == "cpu" or then.keys() != now.keys():
            return then == now
        pairs = ((float.fromhex(then[name]), float.fromhex(now[name])) for name in then)
        return all(math.isclose(a, b, rel_tol=_CLOSE, abs_tol=_CLOSE) or a != a != b != b for a, b in pairs)


def _by_first_word(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        kind, _, name = place.partition("/")
        groups.setdefault(kind, {})[name] = value
    return groups
