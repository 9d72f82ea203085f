"""What the runner's loop costs over the same loop in bare PyTorch.

Both train a copy of Compromised on the same batches of the same benchmark, in turn, in one process; the figure is the
ratio of their times, pair by pair. The bare loop gets its batches ready-made, so drawing, decoding and counting are
all part of the overhead.

    uv run python benchmarks/speed/fit_overhead.py [--benchmark mini] [--steps 20] [--pairs 9]
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import copy
import math
import statistics
import time

import torch
from accelerate import Accelerator

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.config import TrainingConfig
from salmu_core.losses import contrastive_loss
from salmu_core.plugins.zoo import discover
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.session import TrainingSession, frozen_copy

CONFIG = TrainingConfig(batch_size=128, lr=1e-4, warmup=0.0)


def loss(ctx, step):
    return contrastive_loss(ctx, step.forget) + contrastive_loss(ctx, step.retain)


def context(session, accelerator):
    """A method's context on a fresh copy of Compromised."""
    meter = Meter(1000, len(session.pools["forget"]))
    ctx = RunContext(
        CONFIG,
        model=copy.deepcopy(session.clip.model),
        reference=frozen_copy(session.clip.model),
        session=session,
        seed=0,
        meter=meter,
        accelerator=accelerator,
    )
    return ctx, meter


def ours(session, accelerator, steps):
    """Seconds of `fit`, and the loss it ended with."""
    ctx, meter = context(session, accelerator)
    start = time.perf_counter()
    ctx.fit(loss, steps=steps)
    return time.perf_counter() - start, meter.scalars["loss"][-1][1]


def ready_made(session, accelerator, steps):
    """The batches that `fit` draws, as tensors."""
    drawn = []

    def watch(ctx, step):
        drawn.append([(b.image, b.text) for b in (step.forget, step.retain)])
        return ctx.model.logit_scale.sum()

    context(session, accelerator)[0].fit(watch, steps=steps)
    return drawn


def bare(session, batches):
    """Seconds of the loop as one would write it, and the loss it ended with."""
    model = copy.deepcopy(session.clip.model)
    start = time.perf_counter()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=CONFIG.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0, fused=True
    )
    model.train()
    for step, pools in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = CONFIG.lr * 0.5 * (1 + math.cos(math.pi * step / len(batches)))
        value = 0.0
        for image, text in pools:
            a, b = model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)
            logits, target = model.logit_scale.exp() * a @ b.T, torch.arange(len(a), device=a.device)
            value = value + torch.nn.functional.cross_entropy(logits, target) / 2
            value = value + torch.nn.functional.cross_entropy(logits.T, target) / 2
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CONFIG.max_grad_norm)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        last = value.item()
    return time.perf_counter() - start, last


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="mini")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    accelerator = Accelerator()
    benchmark = open_benchmark(given.benchmark, discover(), lambda stage, fraction: None)
    session = TrainingSession.open(benchmark, accelerator)
    batches = ready_made(session, accelerator, given.steps)
    ratios = []
    for pair in range(given.pairs + 1):
        # In turn, and in alternating order, so that a machine that slows down does so for both.
        if pair % 2:
            (b, last_b), (a, last_a) = bare(session, batches), ours(session, accelerator, given.steps)
        else:
            (a, last_a), (b, last_b) = ours(session, accelerator, given.steps), bare(session, batches)
        assert math.isclose(last_a, last_b, rel_tol=1e-3), "the two loops do not compute the same"
        if pair:  # the first pair warms up
            ratios.append(a / b)
            print(f"fit {a:.3f} s   bare {b:.3f} s   ratio {ratios[-1]:.3f}", flush=True)
    print(f"overhead of fit: {statistics.median(ratios) - 1:+.1%} (median of {given.pairs} pairs; aim: at most 3%)")


if __name__ == "__main__":
    main()
