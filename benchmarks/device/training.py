"""Parts that train."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any
from unittest import mock

import torch
from job import Job
from place import GIB, accelerate, begin, cleared
from records import Failure, Together
from records import Training as Measured
from subject import USUAL, Training, Way
from timing import StepClock, now
from torch import nn

#: What a method draws of each set in a step, by default.
SMALL = 16
#: A large one, compiled too.
LARGE = 256


class Trainer:
    """Measures steps of runs.

    Args:
        job: Where results go.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, begin()
        self.sizes = (2, 4) if job.quick else (SMALL, 32, 64, 128, LARGE, 384, 512)
        self.forward_gflop = sum(job.gflop.values())
        self.accelerator = accelerate()
        self.training = Training(job.scratch, self.accelerator)

    def measure(self, batch: int, way: Way = USUAL) -> None:
        """Steps of ``batch`` + ``batch`` pairs, on a fresh copy of the model."""
        clock = StepClock(self.device, warm=3, timed=2 if self.job.quick else max(10, 640 // batch), profiled=5)
        card = self.device.type == "cuda"
        if card:
            torch.cuda.reset_peak_memory_stats()
        with cleared(self.accelerator), no_compiler(self.job.quick):
            self.training.train(batch, clock.steps, clock.begin, way)
            clock.end()
        rate = 2 * batch / clock.step_seconds
        what = f"{way.variant}, {batch} + {batch} pairs"
        self.job.tell(
            Measured(
                **asdict(way),
                batch=batch,
                pairs_per_second=rate,
                tflops=3 * self.forward_gflop * rate / 1e3,
                waiting=self._waiting(clock, what),
                peak_gib=torch.cuda.max_memory_allocated() / GIB if card else None,
                first_seconds=clock.first_seconds,
            )
        )

    def _waiting(self, clock: StepClock, what: str) -> float | None:
        try:
            return clock.waiting()
        except (RuntimeError, OSError, ValueError) as error:
            self.job.tell(Failure(part=self.job.name, what=f"the card's waiting: {what}", why=str(error)))
            return None


def training(job: Job) -> None:
    """Training as a method does it, from its own batch up to one that fills the card, and what makes it fast."""
    trainer = Trainer(job)
    small = trainer.sizes[0]
    for what, way in (
        ("as it is", USUAL),
        ("batches one after the other", Way(joint=False)),
        ("nothing read ahead", Way(ahead=False)),
        ("AdamW not fused", Way(fused=False)),
        ("none of it", Way(joint=False, ahead=False, fused=False)),
    ):
        job.attempt(f"{what}, {small} + {small} pairs a step", partial(trainer.measure, small, way), needs=8)
    for batch in trainer.sizes[1:]:
        if not job.attempt(f"{batch} + {batch} pairs a step", partial(trainer.measure, batch), needs=8):
            break  # of memory there is no more for the next either


def compiling(job: Job) -> None:
    """The same training with its towers compiled, at a method's own batch and at a large one; the most at risk."""
    trainer = Trainer(job)
    small = trainer.sizes[0]
    plans = [(Way("CUDA graphs"), small), (Way("compiled"), small), (Way("compiled"), LARGE)]
    for way, batch in [(Way("compiled"), small)] if job.quick else plans:
        torch._dynamo.reset()
        job.attempt(f"{way.variant}, {batch} + {batch} pairs", partial(trainer.measure, batch, way), needs=15)


def together(job: Job) -> None:
    """Processes that train on one card at the same time, each with a method's own batch."""
    for processes in (1, 2) if job.quick else (1, 2, 4):
        job.attempt(f"{processes} at a time", partial(_several, job, processes), needs=20)


def _several(job: Job, processes: int) -> None:
    context = job.context
    barrier, spans = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_worker, args=(job, barrier, spans)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(1.0, job.deadline - time.monotonic()))
    if any(worker.exitcode for worker in workers) or any(worker.is_alive() for worker in workers):
        for worker in workers:
            worker.kill()
        raise RuntimeError("a process failed, or was too slow")
    found = [spans.get(timeout=10) for _ in workers]
    seconds = max(stop for _, stop, _ in found) - min(start for start, _, _ in found)
    rate = sum(pairs for _, _, pairs in found) / seconds
    job.tell(Together(processes=processes, batch=2 if job.quick else SMALL, pairs_per_second=rate))


def _worker(job: Job, barrier: Any, spans: Any) -> None:
    place = begin()
    batch, warm, steps = (2, 2, 3) if job.quick else (SMALL, 5, 100)
    starts = []

    def on_begin(step: int) -> None:
        if step == warm:
            now(place)
            barrier.wait(timeout=120)
            starts.append(now(place))

    Training(job.scratch, accelerate()).train(batch, warm + steps, on_begin)
    spans.put((starts[0], now(place), 2 * batch * steps))


@contextmanager
def no_compiler(quick: bool) -> Iterator[None]:
    """At tiny sizes, all of torch.compile but the compiler."""

    def eager(tower: nn.Module, **_: Any) -> None:
        tower._compiled_call_impl = torch.compile(tower._call_impl, backend="eager")

    with mock.patch.object(nn.Module, "compile", eager) if quick else nullcontext():
        yield
