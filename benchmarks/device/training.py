"""Parts that train."""

from __future__ import annotations

import copy
import time
from functools import partial
from typing import Any, Literal

import torch
from job import Job
from place import GIB, accelerate, begin, cleared
from records import Failure, Together, Training
from subject import Pairs, load, optimizer, train
from timing import StepClock, now
from torch import nn

Variant = Literal["eager", "compiled", "CUDA graphs"]
#: What a method draws of each set in a step, by default.
SMALL = 16
#: A large one, compiled too.
LARGE = 256


class Trainer:
    """Measures steps of the training loop.

    Args:
        job: Where results go.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, begin()
        self.sizes = (2, 4) if job.quick else (SMALL, 32, 64, 128, 256, 384, 512)
        self.clip = load(job.scratch)
        self.forward_gflop = sum(job.gflop.values())
        self.clip.model.to(self.device)
        self.accelerator = accelerate()
        self.pairs = Pairs(self.clip, self.device, count=4 * max(self.sizes))

    def measure(self, batch: int, variant: Variant = "eager", fused: bool = True) -> None:
        """Steps of ``batch`` + ``batch`` pairs, on a fresh copy of the model."""
        clock = StepClock(self.device, warm=3, timed=2 if self.job.quick else max(10, 640 // batch), profiled=5)
        model = copy.deepcopy(self.clip.model)
        compiled(model, variant, self.job.quick)

        def on_begin(step: int) -> None:
            if variant == "CUDA graphs":
                torch.compiler.cudagraph_mark_step_begin()
            clock.begin(step)

        card = self.device.type == "cuda"
        if card:
            torch.cuda.reset_peak_memory_stats()
        with cleared(self.accelerator), optimizer(fused):
            train(model, self.pairs, batch, clock.steps, self.accelerator, on_begin)
            clock.end()
        rate = 2 * batch / clock.step_seconds
        what = f"{variant}, {batch} + {batch} pairs"
        self.job.tell(
            Training(
                variant=variant,
                fused=fused,
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
    """Training as a method does it, from its own batch up to one that fills the card, and without a fused AdamW."""
    trainer = Trainer(job)
    fitting = trainer.sizes[0]
    for batch in trainer.sizes:
        if not job.attempt(f"{batch} + {batch} pairs a step", partial(trainer.measure, batch), needs=8):
            break  # of memory there is no more for the next either
        fitting = batch
    for batch in sorted({trainer.sizes[0], fitting}):
        job.attempt(f"AdamW not fused, {batch} + {batch}", partial(trainer.measure, batch, fused=False), needs=8)


def compiling(job: Job) -> None:
    """The same training with its towers compiled, at a method's own batch and at a large one; the most at risk."""
    trainer = Trainer(job)
    small = trainer.sizes[0]
    plans: list[tuple[Variant, int]] = [("compiled", small), ("CUDA graphs", small), ("compiled", LARGE)]
    for variant, batch in plans[:1] if job.quick else plans:
        torch._dynamo.reset()
        job.attempt(f"{variant}, {batch} + {batch} pairs", partial(trainer.measure, batch, variant), needs=15)


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
    place, clip = begin(), load(job.scratch)
    batch, warm, steps = (2, 2, 3) if job.quick else (SMALL, 5, 100)
    pairs, starts = Pairs(clip, place, count=4 * batch), []

    def on_begin(step: int) -> None:
        if step == warm:
            now(place)
            barrier.wait(timeout=120)
            starts.append(now(place))

    train(clip.model.to(place), pairs, batch, warm + steps, accelerate(), on_begin)
    spans.put((starts[0], now(place), 2 * batch * steps))


def compiled(model: nn.Module, variant: Variant, quick: bool) -> None:
    """Compile a model's two towers in place."""
    if variant == "eager":
        return
    for tower in (model.visual, model.transformer):
        if quick:  # all of torch.compile but the compiler
            tower.compile(backend="eager")
        else:
            tower.compile(mode="reduce-overhead" if variant == "CUDA graphs" else None)
