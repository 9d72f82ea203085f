"""What a training step costs: against another checkout, and against a plain loop over two models.

Each side is a process of its own with one thread. It draws the batches of one run of a method and makes steps on them
when it is asked; the sides take turns, some steps at a time. The plain loop is what the methods' public adaptation does
in each step, written down from the equations: both models encode both batches, at the full length of captions, with
gradients of all of the token embedding, and AdamW as torch has it by default. Its batches are ready-made, and it clips
and schedules as `fit` does, so that both compute the same: their losses are compared step by step.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from figures import Figure, in_turn, ratio
from sides import Asked, Side, answer, question

#: With the aim of a step's cost against the other checkout.
METHODS = {"delete": 0.55, "cliperase": 0.55, "vlunlearn": 0.55, "finetuning": None}
#: Methods that look at the original model at every step.
TWO_MODELS = ("delete", "cliperase", "vlunlearn")
#: Relative difference of two losses that are the same but for the order of sums; of untrained models, whose gradients
#: are near 0, AdamW's first steps amplify it.
TOLERANCE, UNTRAINED = 1e-4, 1e-2


def measure(asked: Asked) -> Iterator[Figure]:
    """Steps of each method."""
    rounds, block = (2, 1) if asked.quick else (8, 15)
    arguments = [asked.benchmark, str((rounds + 1) * block), str(block)]
    sides = {name: Side(one, "step.py", ["product", *arguments]) for name, one in asked.checkouts.items()}
    plain = Side(asked.this, "step.py", ["plain", *arguments])
    for method, most in METHODS.items():
        all_sides = {**sides, **({"plain": plain} if method in TWO_MODELS else {})}
        for side in all_sides.values():
            side.ask(method)
        losses: dict[str, list[float]] = {name: [] for name in all_sides}
        costs = in_turn({name: partial(_steps, side, losses[name]) for name, side in all_sides.items()}, rounds)
        per_step = {name: [cost / block for cost in values] for name, values in costs.items()}
        what = f"a step of `{method}`"
        if "against" in sides:
            yield ratio(what, "the same step there", per_step, ("this", "against"), at_most=most)
        if "plain" in all_sides:
            yield ratio(f"the plain loop, for {what}", "ours", per_step, ("plain", "this"), at_least=2.5)
            apart = max(abs(a - b) / abs(b) for a, b in zip(losses["this"], losses["plain"], strict=True))
            bound = UNTRAINED if asked.quick else TOLERANCE
            if apart > bound:
                raise RuntimeError(f"{method}: the losses of both loops differ by {apart:.1e} of their size")
            number = len(losses["this"])
            yield Figure(
                what=f"losses of `{method}` and of the plain loop, {number} steps",
                unit="difference", value=apart, low=apart, high=apart, rounds=number, at_most=bound,
            )  # fmt: skip
    for side in [*sides.values(), plain]:
        side.close()


def _steps(side: Side, losses: list[float]) -> float:
    """Processor seconds of some steps."""
    cost, values = side.ask()
    losses += values
    return float(cost)


# What follows runs in the processes of the sides, one of them with the other checkout's packages.


class Turns:
    """Stops a loop after every so many steps, to wait for its turn; its first turn has begun."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._losses: list[float] = []
        question()
        self._start = time.process_time()

    def made(self, steps: int, last: int, loss: float) -> None:
        """To be told after each step: how many were made, of how many, and the loss."""
        self._losses.append(loss)
        if steps % self._block == 0:
            answer([time.process_time() - self._start, self._losses])
            self._losses = []
            if steps < last:
                question()
            self._start = time.process_time()


def main() -> None:
    side, benchmark, steps, block = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    from accelerate import Accelerator

    from salmu_core.benchmark.folder import open_benchmark
    from salmu_core.plugins.zoo import discover
    from salmu_core.run.session import TrainingSession

    zoo, accelerator = discover(), Accelerator(cpu=True)
    session = TrainingSession.open(open_benchmark(benchmark, zoo, lambda *_: None), accelerator)
    loops = {"product": product, "plain": plain}
    while True:
        method = question()
        answer("ready")
        loops[side](method, zoo.methods[method].spec, session, accelerator, steps, block)


def settings(spec):
    """A method's defaults, with every term of its loss at the weight 1, as the plain losses have them."""
    weights = [name for name in spec.config.model_fields if name.endswith("_weight")]
    return spec.config(**dict.fromkeys(weights, 1.0))


def context(spec, session, accelerator, on_step=None):
    """What a run gets, on a fresh copy of Compromised."""
    from salmu_core.run.context import RunContext
    from salmu_core.run.meter import Meter
    from salmu_core.run.session import frozen_copy
    from salmu_core.train.observer import UNSEEN, Observer

    return RunContext(
        settings(spec),
        model=copy.deepcopy(session.clip.model),
        reference=frozen_copy(session.clip.model),
        session=session,
        seed=0,
        meter=Meter(1000, len(session.pools["forget"])),
        accelerator=accelerator,
        observer=Observer(on_step=on_step) if on_step else UNSEEN,
    )


def product(method, spec, session, accelerator, steps, block):
    """The loop of all methods, once the original has embedded all pairs, as it has after a pass over them."""
    before = context(spec, session, accelerator)
    for pool in ("forget", "retain"):
        for batch in before.batches(pool, 256):
            before.reference_features(batch)
    ctx = context(spec, session, accelerator, lambda done, last, values: turns.made(done, last, values["loss"]))
    turns = Turns(block)
    ctx.fit(spec.loss, steps=steps)


def batches(spec, session, accelerator, steps):
    """The batches that a run draws, as tensors, and its permutations."""
    drawn = []

    def watch(ctx, step):
        pairs = [(batch.image, batch.text) for batch in (step.forget, step.retain)]
        drawn.append((*pairs, step.permutation(len(step.forget))))
        return ctx.model.logit_scale.sum()

    context(spec, session, accelerator).fit(watch, steps=steps)
    return drawn


def plain(method, spec, session, accelerator, steps, block):
    """A loop over two models."""
    import torch

    config, drawn = settings(spec), batches(spec, session, accelerator, steps)
    model, original = copy.deepcopy(session.clip.model), copy.deepcopy(session.clip.model).eval()
    for parameter in original.parameters():
        parameter.requires_grad_(False)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=config.weight_decay
    )
    warmup = round(config.warmup * steps)
    turns = Turns(block)
    for step, (forget, retain, order) in enumerate(drawn):
        rest = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
        for group in optimizer.param_groups:
            group["lr"] = config.lr * ((step + 1) / warmup if step < warmup else rest)
        with torch.no_grad():
            before = [embed(original, *forget), embed(original, *retain)]
        loss = LOSSES[method](embed(model, *forget), embed(model, *retain), *before, order)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        turns.made(step + 1, steps, loss.item())


def embed(model, image, text):
    """Normalised embeddings of both sides."""
    return model.encode_image(image, normalize=True), model.encode_text(text, normalize=True)


def squares(a, b):
    """Mean squared difference."""
    return ((a - b) ** 2).mean()


def both_ways(pairs, others):
    """Of image-to-text and of text-to-image similarities."""
    return squares(pairs[0] @ pairs[1].T, others) + squares(pairs[1] @ pairs[0].T, others.T)


def fused(pairs):
    """One embedding for a pair."""
    both = pairs[0] + pairs[1]
    return both / both.norm(dim=-1, keepdim=True)


def delete(forget, retain, forget_before, retain_before, order):
    zero = 0 * forget_before[0] @ forget_before[1].T
    return both_ways(forget, zero) + both_ways(retain, retain_before[0] @ retain_before[1].T)


def cliperase(forget, retain, forget_before, retain_before, order):
    kept = squares(retain[0], retain_before[0]) + squares(retain[1], retain_before[1])
    return delete(forget, retain, forget_before, retain_before, order) + kept


def vlunlearn(forget, retain, forget_before, retain_before, order):
    unrelated = (forget_before[0] @ forget_before[1].T)[:, order]
    kept = squares(retain[0], retain_before[0]) + squares(retain[1], retain_before[1])
    return both_ways(forget, unrelated) + squares(fused(retain), fused(retain_before)) + kept


LOSSES: dict[str, Callable] = {"delete": delete, "cliperase": cliperase, "vlunlearn": vlunlearn}

if __name__ == "__main__":
    main()
