"""A run that is interrupted, however often, ends with the bytes and the record of one that never was."""

import copy
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from attempts import BUDGET, FACTS, LOSS, SEED, Attempts, record, slow

from salmu_core import MethodSpec, TrainingConfig, masked
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.losses import contrastive_loss, forget_loss
from salmu_core.plugins.zoo import discover
from salmu_core.run.runner import run_one
from salmu_core.run.saves import Stopped
from salmu_core.run.session import TrainingSession
from salmu_core.train import tables
from salmu_core.train.observer import Observer
from salmu_core.train.settings import Every


def in_phases(ctx):
    """Everything a method may do between and in its trainings."""
    anchors, teacher = {"one": 1.0}, copy.deepcopy(ctx.model).eval()
    gradients = ctx.gradients(forget_loss, on="forget", power=2, steps=1)
    masks = {name: (g > g.median()).float() for name, g in gradients.items() if g.ndim == 2}
    head = torch.nn.Linear(8, 1)
    with torch.no_grad():
        head.weight.copy_(ctx.randn_like(head.weight))
        head.bias.zero_()
    ctx.state["mean"] = torch.zeros(2)

    def loss(ctx, step):
        features = ctx.features(step.forget)
        ctx.state["mean"] = 0.9 * ctx.state["mean"] + 0.1 * features.pair_similarity.detach().mean()
        ctx.state.setdefault("noise", torch.zeros(3)).add_(torch.rand(3, generator=ctx.rng))
        texts = ctx.reference_texts([*step.forget.captions, f"a person, {step.index % 3}"])
        drawn = torch.rand(()) + random.random() + np.random.rand()
        ctx.log("drawn", drawn, step.index)
        return {
            "forget": features.pair_similarity.mean() * anchors["one"] + 0.1 * drawn * ctx.model.logit_scale,
            "drift": 0.1 * (features.text @ texts.T).mean() + ctx.state["mean"].sum() * features.image.mean(),
        }

    def together(ctx, step):
        with torch.no_grad():
            taught = teacher.encode_image(step.retain.image, normalize=True)
        inner = head((ctx.features(step.retain).image - taught)[:, :8])
        return contrastive_loss(ctx, step.retain) + inner.pow(2).mean() + ctx.state["noise"].sum() * inner.mean()

    ctx.fit(loss, steps=4, transform=masked(masks), config=TrainingConfig(batch_size=4, lr=1e-3))
    for batch in ctx.batches("forget", 4):
        ctx.log("size", len(batch))
        break
    with ctx.edit() as weights:
        weights["visual.proj"].add_(ctx.randn_like(weights["visual.proj"]), alpha=1e-3)
    with ctx.adapters(rank=2, where=lambda name: "transformer" in name):
        ctx.fit(together, steps=3, also={"head": head}, config=TrainingConfig(batch_size=2, lr=1e-3))
    ctx.fit(
        loss,
        steps=3,
        transform=lambda terms: {
            name: sum(part[name] for part in terms.values()) for name in next(iter(terms.values()))
        },
        config=TrainingConfig(batch_size=4, lr=1e-3, max_grad_norm=1.0),
    )


PHASES = MethodSpec(**FACTS, unlearn=in_phases, config=TrainingConfig)
METHODS = {name: declared.spec for name, declared in discover().methods.items()} | {"in phases": PHASES}


@pytest.mark.parametrize(
    "name",
    [name if name in ("cliperase", "shuffled-captions", "in phases") else slow(name) for name in sorted(METHODS)],
)
def test_killed_at_any_steps_it_ends_the_same(name, session, tmp_path):
    attempts = Attempts(METHODS[name], session, tmp_path / "saves")
    undisturbed, drawn = attempts.whole(), random.Random(SEED)
    assert undisturbed.status == "valid", undisturbed.traceback
    left = undisturbed.ledger.steps
    for _ in range(min(left, 3 if name == "in phases" else 1)):
        kill_at = drawn.randint(1, left)
        attempts.killed(kill_at)
        left -= kill_at - 1
    assert record(attempts.run()) == record(undisturbed)
    assert attempts.steps == left and not attempts.told


def test_in_phases_it_may_be_killed_where_trainings_begin_and_end(session, tmp_path):
    attempts = Attempts(PHASES, session, tmp_path / "saves")
    undisturbed = record(attempts.whole())
    for kill_at in (1, 4, 5, 7, 10):  # trainings end at 4, 7 and 10
        attempts.folder = tmp_path / str(kill_at)
        attempts.killed(kill_at)
        assert record(attempts.run()) == undisturbed
        assert attempts.steps == 11 - kill_at, "what was made is not made again"


def whole_table(ctx, step):
    decay = ctx.model.token_embedding.weight.square().mean() if step.index > 2 else 0
    return contrastive_loss(ctx, step.retain) + decay


def short_of_memory(ctx, step):
    features = ctx.features(step.forget)
    if step.index == 2 and ctx._pieces.size != 2:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    return features.pair_similarity.mean()


@pytest.mark.parametrize("loss", [LOSS.loss, whole_table, short_of_memory])
def test_rows_of_large_tables_and_pieces_of_batches_go_on_as_they_were(loss, session, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LARGE", 8)
    spec = MethodSpec(**FACTS, loss=loss, config=TrainingConfig.with_defaults(weight_decay=0.1, max_grad_norm=1.0))
    attempts = Attempts(spec, session, tmp_path / "saves")
    undisturbed = record(attempts.whole())
    for kill_at in (2, 3, 2):
        attempts.killed(kill_at)
    assert record(attempts.run()) == undisturbed
    assert attempts.steps == undisturbed[1].steps - 4 and not attempts.told


def test_what_ended_is_not_made_again_and_short_trainings_are(session, tmp_path):
    attempts = Attempts(PHASES, session, tmp_path / "saves", Every(steps=100))
    undisturbed = record(attempts.whole())
    attempts.killed(9)  # of trainings of 4, 3 and 3 steps, 100 / 30 are kept of the first
    assert record(attempts.run()) == undisturbed and attempts.steps == 6
    attempts = Attempts(PHASES, session, tmp_path / "none", Every(seconds=3600))
    attempts.killed(9)
    assert record(attempts.run()) == undisturbed and attempts.steps == 10
    assert not list(tmp_path.glob("none/*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_at_a_steps_end(number, session, undisturbed, tmp_path):
    attempts, asked = Attempts(LOSS, session, tmp_path / "saves", Every(seconds=3600)), []

    def loss(ctx, step):
        if step.index == 3 and not asked:
            asked.append(os.kill(os.getpid(), number))
        return LOSS.loss(ctx, step)

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    attempts.spec = MethodSpec(**FACTS, loss=Quiet(loss))
    with pytest.raises(Stopped):
        attempts.run()
    assert record(attempts.run()) == undisturbed and attempts.steps == undisturbed[1].steps - 4
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


class Quiet:
    """A loss of which nobody sees what it keeps."""

    def __init__(self, function):
        Quiet.function = staticmethod(function)

    def __call__(self, ctx, step):
        return Quiet.function(ctx, step)


def test_a_signal_that_no_step_will_hear_is_not_waited_for_long(session, tmp_path):
    def before(ctx):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    def endless(ctx, step):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    for spec in (MethodSpec(**FACTS, unlearn=before), MethodSpec(**FACTS, loss=endless)):
        attempts, start = Attempts(spec, session, tmp_path / "saves"), time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            attempts.run(saves=attempts.saves(grace=0.2))
        assert time.monotonic() - start < 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_by_the_system(session, tmp_path):
    attempts, drawn = Attempts(PHASES, session, tmp_path / "saves"), random.Random(SEED)
    start = time.monotonic()
    undisturbed = record(attempts.whole())
    took = time.monotonic() - start
    for _ in range(3):
        child = os.fork()
        if not child:
            try:
                attempts.run()
            finally:
                os._exit(0)
        time.sleep(drawn.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert record(attempts.run()) == undisturbed and not attempts.told


def test_seconds_and_memory_are_those_of_the_whole_run(session, tmp_path):
    def sleepy(ctx, step):
        time.sleep(0.05)
        return LOSS.loss(ctx, step)

    attempts = Attempts(MethodSpec(**FACTS, loss=sleepy), session, tmp_path / "saves")
    attempts.killed(6)
    outcome = attempts.run()
    assert attempts.steps == outcome.ledger.steps - 5 and outcome.ledger.seconds >= 0.05 * outcome.ledger.steps
    assert outcome.ledger.peak_memory_bytes > 0


def test_it_goes_on_whatever_was_opened_and_run_before(killed, undisturbed, tiny):
    fresh = TrainingSession.open(open_benchmark(str(tiny), discover(()), lambda *_: None), Accelerator(cpu=True))
    used, killed.session = killed.session, fresh
    killed.killed(1)
    killed.killed(1)
    killed.session = used
    assert record(killed.run()) == undisturbed
    assert killed.steps == undisturbed[1].steps - 5 and not killed.told


def test_scalars_of_before_are_told_again(killed, undisturbed):
    told = []
    run_one(
        LOSS, killed.config, BUDGET, 0, killed.session, Accelerator(cpu=True),
        Observer(on_scalar=lambda *scalar: told.append(scalar)), saves=killed.saves(),
    )  # fmt: skip
    scalars = undisturbed[5]
    assert sorted(told) == sorted((name, value, step) for name, points in scalars.items() for step, value in points)
    assert [step for _, _, step in told] == sorted(step for _, _, step in told)
