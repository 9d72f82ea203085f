"""One run, from Compromised to a judged model."""

from __future__ import annotations

import copy
import random
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from torch import nn

from salmu_core.clip.weights import fingerprint, share_changed
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.context import MethodContext
from salmu_core.contract.progress import OnStep
from salmu_core.contract.specs import MethodSpec
from salmu_core.errors import BenchmarkError, BudgetExceededError, MethodError
from salmu_core.run.context import Engine
from salmu_core.run.meter import Meter, OnScalar
from salmu_core.run.session import TrainingSession, frozen_copy
from salmu_core.run.validity import judge
from salmu_core.store.records import Ledger, Status
from salmu_core.train.loop import NonFiniteLossError
from salmu_core.train.seeding import seed_of


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        model: The unlearned model, in eval mode on its device.
        status: ``valid``, or what is wrong.
        reason: What is wrong, in a sentence.
        ledger: What it cost.
        scalars: What was logged.
        traceback: Of the exception, where there was one.
    """

    model: nn.Module
    status: Status
    reason: str
    ledger: Ledger
    scalars: dict[str, list[tuple[int, float]]]
    traceback: str | None = None


def run_one(
    spec: MethodSpec,
    config: MethodConfig,
    budget: float,
    seed: int,
    session: TrainingSession,
    accelerator: Accelerator,
    on_step: OnStep | None = None,
    on_scalar: OnScalar | None = None,
) -> Outcome:
    """Unlearn with one method and judge the result; a method's exception is an outcome, not an error.

    Args:
        spec: The method.
        config: Its validated configuration.
        budget: B; B x |forget| forget pairs and as many retain pairs may be drawn.
        seed: Decides the order of the data and every random number.
        session: Data and start model.
        accelerator: Device and precision.
        on_step: Told of every training step.
        on_scalar: Told of every scalar that goes into the record.
    """
    original = session.clip.model
    model, reference = copy.deepcopy(original), frozen_copy(original)
    before = fingerprint(reference)
    meter = Meter(budget, len(session.pools["forget"]), on_scalar)
    engine = Engine(
        model=model,
        reference=reference,
        pools=session.pools,
        config=config,
        seed=seed,
        meter=meter,
        accelerator=accelerator,
        num_train=session.num_train,
        on_step=on_step,
    )
    ctx: MethodContext[MethodConfig] = MethodContext(engine, config)
    status: Status = "valid"
    reason, trace = "", None
    with _own_random_state(seed), _counted_forwards(model, meter), _peak_memory(accelerator) as peak:
        start = time.perf_counter()
        try:
            if spec.loss is not None:
                ctx.fit(spec.loss)
            elif spec.unlearn is not None:
                _no_result(spec.unlearn(ctx))
        except (KeyboardInterrupt, BenchmarkError):
            raise  # data that can't be read are no fault of the method
        except BudgetExceededError as error:
            status, reason = "over-budget", str(error)
        except NonFiniteLossError as error:
            status, reason = "non-finite", str(error)
        except BaseException as error:  # SystemExit too: a plugin must not end the others' runs
            status, reason = "crashed", f"{type(error).__name__}: {error}"
            trace = traceback.format_exc()
        seconds = time.perf_counter() - start - meter.telling
    changed = 0.0
    try:
        model.eval()
        if status == "valid":
            status, reason = judge(model, original)
        if status == "valid" and fingerprint(reference) != before:
            status, reason = "altered", "the method changed ctx.reference, which is the frozen original"
        if fingerprint(original) != before:
            status, reason = "altered", "the method changed Compromised itself, reaching past its context"
        changed = share_changed(model, original)
    except Exception as error:  # on another device, without storage, ...: whatever a method made of it
        status, reason = "altered", f"what the method left can't be read: {type(error).__name__}: {error}"
    ledger = Ledger(
        forget_samples=meter.drawn["forget"],
        retain_samples=meter.drawn["retain"],
        reference_samples=meter.reference_samples,
        forward_passes=meter.forward_passes,
        forward_images=meter.forward_images,
        forward_captions=meter.forward_captions,
        backward_passes=meter.backward_passes,
        steps=meter.steps,
        probes=meter.probes,
        seconds=round(seconds, 3),
        peak_memory_bytes=peak[0],
        weights_changed=changed,
    )
    accelerator.free_memory()
    return Outcome(model, status, reason, ledger, meter.scalars, trace)


def _no_result(returned: object) -> None:
    """A model or its weights, returned, would be lost without a word."""
    if isinstance(returned, nn.Module | Mapping):
        raise MethodError(f"unlearn() returned a {type(returned).__name__}: the result is what is in ctx.model")


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Give a run a global random state of its own: what it draws there is the same each time, and undone."""
    start = seed_of("global", seed)
    python, numpy, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(start)  # noqa: TID251 - every device's, and undone below
        random.seed(start)
        np.random.seed(start % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_num_threads(threads)


@contextmanager
def _counted_forwards(model: nn.Module, meter: Meter) -> Iterator[None]:
    def images(_module: nn.Module, inputs: tuple[torch.Tensor, ...], _output: object) -> None:
        meter.forward_passes += 1
        meter.forward_images += len(inputs[0]) if inputs else 0

    def captions(_module: nn.Module, inputs: tuple[torch.Tensor, ...], _output: object) -> None:
        meter.forward_captions += len(inputs[0]) if inputs else 0

    handles = []
    for path, count in (("visual", images), ("token_embedding", captions), ("text.token_embedding", captions)):
        part: object = model
        for name in path.split("."):
            part = getattr(part, name, None)
        if isinstance(part, nn.Module):
            handles.append(part.register_forward_hook(count))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _peak_memory(accelerator: Accelerator) -> Iterator[list[int]]:
    """Peak memory in bytes, in a list of one, known once the block has ended."""
    peak = [0]
    cuda = accelerator.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(accelerator.device)
    try:
        yield peak
    finally:
        if cuda:
            peak[0] = torch.cuda.max_memory_allocated(accelerator.device)
        else:
            info = psutil.Process().memory_info()
            # Linux and macOS keep the peak in rusage (KiB and bytes), Windows in the process's own info.
            peak[0] = getattr(info, "peak_wset", 0) or _max_rss()


def _max_rss() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
