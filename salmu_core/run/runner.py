"""One run, from the model it begins with to a judged one."""

from __future__ import annotations

import copy
import random
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from salmu_core.clip.weights import fingerprint, share_changed
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.specs import MethodSpec
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import BudgetExceededError, MethodError, verdict
from salmu_core.machine import numerics, peak_memory
from salmu_core.plugins.code import code_hash
from salmu_core.run.context import RunContext
from salmu_core.run.counting import counted_forwards
from salmu_core.run.meter import Meter
from salmu_core.run.outcome import Outcome
from salmu_core.run.saves import Saves, StartAgain
from salmu_core.run.session import TrainingSession, frozen_copy
from salmu_core.run.state import savable
from salmu_core.run.validity import judge
from salmu_core.store.records import Status
from salmu_core.train.compiled import Compiler
from salmu_core.train.loop import NonFiniteLossError
from salmu_core.train.observer import UNSEEN, Observer
from salmu_core.train.pieces import Pieces
from salmu_core.train.place import Accelerated
from salmu_core.train.seeding import seed_of


def run_one(
    spec: MethodSpec,
    config: MethodConfig,
    budget: float,
    seed: int,
    session: TrainingSession,
    accelerator: Accelerator,
    observer: Observer = UNSEEN,
    micro_batch: int = 0,
    state: Mapping[str, torch.Tensor] | None = None,
    compiler: Compiler | None = None,
    saves: Saves | None = None,
) -> Outcome:
    """Unlearn with one method and judge the result; a mistake of its code is an outcome, not an error.

    Args:
        budget: B; B x |forget| forget pairs and as many retain pairs may be drawn.
        seed: Decides the order of the data and every random number.
        session: Data and start model.
        micro_batch: Pairs that are embedded at a time; 0 for whole batches. Made smaller where memory runs out.
        state: What the method left when it made the model that this run begins with.
        compiler: Compiles towers while they are trained; by default none does.
        saves: Where the run is kept while it trains, and what it goes on from; by default nothing is. Whoever keeps the
            outcome drops them.

    Raises:
        MachineError: What ended it says nothing of the method, and there is no outcome.
        KeyboardInterrupt: Somebody stopped it; `Stopped` if the same call with the same saves goes on from there.
    """
    given = spec, config, budget, seed, session, accelerator, observer, micro_batch, state or {}, compiler or Compiler()
    if saves is None or "resumes" in spec.known_failures:
        return _run_once(*given, None)
    saves.begin(
        {
            "method": spec.name,
            "config": config.model_dump(mode="json"),
            "budget": budget,
            "seed": seed,
            "sets": {name: len(pool) for name, pool in session.pools.items()},
            "start": fingerprint(session.clip.model),
            "state": {name: hash_json(value.tolist()) for name, value in (state or {}).items()},
            "micro_batch": micro_batch,
            "compile": given[-1].wish,
            "core": code_hash("salmu_core"),
            "computed": numerics(accelerator.device) | {"precision": str(accelerator.mixed_precision)},
        }
    )
    while True:
        try:
            with saves.listening():
                return _run_once(*given, saves)
        except StartAgain as error:
            saves.drop()
            saves.say(f"What was kept of this run is not used, and it begins again: {error}.")


def _run_once(
    spec: MethodSpec,
    config: MethodConfig,
    budget: float,
    seed: int,
    session: TrainingSession,
    accelerator: Accelerator,
    observer: Observer,
    micro_batch: int,
    state: Mapping[str, torch.Tensor],
    compiler: Compiler,
    saves: Saves | None,
) -> Outcome:
    original = session.clip.model
    model, reference = copy.deepcopy(original), frozen_copy(original)
    before = fingerprint(reference)
    for pool in session.pools.values():
        pool.recall(before)
    meter = Meter(budget, len(session.pools["forget"]), observer.on_scalar)
    compiler.used = ""
    pieces = Pieces(model, micro_batch, compiler.gave_up)
    ctx = RunContext(
        config,
        model=model,
        reference=reference,
        session=session,
        seed=seed,
        meter=meter,
        accelerator=accelerator,
        observer=observer,
        pieces=pieces,
        compiler=compiler,
        state={name: value.detach().clone().to(accelerator.device) for name, value in state.items()},
        saves=saves,
    )
    device, module = accelerator.device, module_of(spec.loss or spec.unlearn)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with own_global_state(seed, accelerator), counted_forwards(model, meter):
        meter.began = time.perf_counter()
        attempt = _attempt(spec, ctx)
        seconds = time.perf_counter() - meter.began
    peak = max(peak_memory(device), saves.memory if saves else 0)
    kept: dict[str, torch.Tensor] = {}
    if attempt.status == "valid":
        try:
            kept = savable(ctx.state, model)
        except Exception as error:  # a tensor may be of any kind
            attempt = _Attempt("crashed", verdict(error, module))
    final, changed = _inspect(attempt, model, reference, original, before, module)
    if final.status != "altered":
        for pool in session.pools.values():
            pool.keep()
    if final.status == "unchanged" and meter.fits and not meter.steps:
        spent = f"fit() made no step: {meter.drawn['forget']} of {meter.cap} forget pairs were drawn before it"
        final = replace(final, reason=f"{final.reason}; {spent}. Raise --budget, or give gradients() `steps`")
    ledger = meter.ledger(seconds, peak, changed)
    accelerator.free_memory()
    kept = kept if final.status == "valid" else {}
    outcome = final.status, final.reason, ledger, tuple(meter.fits), meter.scalars, final.traceback
    return Outcome(model, *outcome, micro_batch=pieces.size, compiled=compiler.used, state=kept)


@dataclass(frozen=True)
class _Attempt:
    """How a run ended: ``valid``, or what is wrong, in a word, in a sentence, and where there is one, its traceback."""

    status: Status = "valid"
    reason: str = ""
    traceback: str | None = None


def _attempt(spec: MethodSpec, ctx: RunContext[MethodConfig]) -> _Attempt:
    """Let a method do its work."""
    try:
        if spec.loss is not None:
            ctx.fit(spec.loss)
        elif spec.unlearn is not None:
            _no_result(spec.unlearn(ctx))
    except StartAgain:
        raise
    except BudgetExceededError as error:
        return _Attempt("over-budget", str(error))
    except NonFiniteLossError as error:
        return _Attempt("non-finite", str(error))
    except BaseException as error:  # SystemExit too: a plugin must not end the others' runs
        return _Attempt("crashed", verdict(error, module_of(spec.loss or spec.unlearn)), traceback.format_exc())
    return _Attempt()


def _inspect(
    attempt: _Attempt, model: nn.Module, reference: nn.Module, original: nn.Module, before: str, module: str
) -> tuple[_Attempt, float]:
    """What a method left behind: whether it counts, and the share of the weights that it changed.

    Args:
        model: What it was given to change.
        reference: The copy of the original it was given to look at.
        original: What the run began with, which it should never have met.
        before: Fingerprint of the last two before it began.
    """
    try:
        model.eval()
        if attempt.status == "valid":
            attempt = _Attempt(*judge(model, original))
        if attempt.status == "valid" and fingerprint(reference) != before:
            attempt = _Attempt("altered", "the method changed ctx.reference, which is the frozen original")
        if fingerprint(original) != before:
            reason = "the method changed the model that runs begin with, reaching past its context"
            attempt = _Attempt("altered", reason, attempt.traceback)
        return attempt, share_changed(model, original)
    except Exception as error:  # on another device, without storage, ...: whatever a method made of it
        reason = f"what the method left can't be read: {verdict(error, module)}"
        return _Attempt("altered", reason, attempt.traceback), 0.0


def module_of(act: object) -> str:
    """The module that a plugin's function was written in."""
    return str(getattr(act, "__module__", ""))


def _no_result(returned: object) -> None:
    """A model or its weights, returned, would be lost without a word."""
    if isinstance(returned, nn.Module | Mapping):
        raise MethodError(f"unlearn() returned a {type(returned).__name__}: the result is what is in ctx.model")


@contextmanager
def own_global_state(seed: int, accelerator: Accelerator) -> Iterator[None]:
    """Give a run a global state of its own, random numbers above all: it begins the same each time, and is undone."""
    start, place = seed_of("global", seed), Accelerated(accelerator)
    python, numpy, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(start)  # noqa: TID251 - every device's, and undone below
        random.seed(start)
        np.random.seed(start % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            place.fresh()
