"""Gradients are computed once for all that ask for the same, and found ones are those that would be computed."""

import random

import numpy as np
import pytest
import torch

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.losses import contrastive_loss, mse
from salmu_core.run import context
from salmu_core.run.gradients import code_of
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
BETWEEN = []


@pytest.fixture(autouse=True)
def computed(tmp_path, monkeypatch):
    """An empty cache; returns a list that grows whenever gradients are computed."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    calls, plain = [], context.mean_gradients
    monkeypatch.setattr(context, "mean_gradients", lambda *args: calls.append(1) or plain(*args))
    return calls


def forget(ctx, step):
    return contrastive_loss(ctx, step.forget)


def both(ctx, step):
    """A plain function of the plugin's own, that draws from both sets."""
    return {"forget": forget(ctx, step), "retain": mse(ctx.features(step.retain).image, 1.0)}


def run(tiny, *losses, fit=True, between=None, budget=2, seed=0, **settings):
    found = []

    def unlearn(ctx):
        for loss in losses:
            values = ctx.gradients(loss, on="forget", power=2, steps=2)
            found.append(values)
            if between:
                between(ctx)
        with ctx.edit() as weights:
            for name, weight in weights.items():
                weight -= sum(values[name] for values in found)
        ctx.log("drawn", float(torch.rand(1, generator=ctx.rng)) + random.random() + float(np.random.rand()))
        if fit:
            ctx.fit(forget, steps=2)

    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    outcome, _ = run_method(spec, tiny, budget=budget, seed=seed, batch_size=8, lr=1e-3, **settings)
    assert outcome.traceback is None, outcome.traceback
    return outcome, found


def test_found_gradients_ledger_and_checkpoint_are_those_of_computed_ones(tiny, computed):
    first, cold = run(tiny, forget, both, budget=4)
    assert len(computed) == 2
    second, warm = run(tiny, forget, both, budget=4)
    assert len(computed) == 2
    for one, other in zip(cold, warm, strict=True):
        assert list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)
        assert all(one[name].stride() == other[name].stride() for name in one)
    assert fingerprint(first.model) == fingerprint(second.model) and first.scalars == second.scalars
    ledgers = [each.ledger.model_dump(exclude={"seconds", "peak_memory_bytes"}) for each in (first, second)]
    assert ledgers[0] == ledgers[1] and ledgers[0]["forget_samples"] == 2 * 2 * 8 + 2 * 8
    assert ledgers[0]["retain_samples"] == 2 * 8 and ledgers[0]["backward_passes"] == 2 * 2 + 2


def test_a_budget_another_setting_and_another_plugin_share_them(tiny, computed):
    run(tiny, forget)
    run(tiny, forget, budget=3, weight_decay=0.2)
    run(tiny, lambda ctx, step: contrastive_loss(ctx, step.forget))
    assert len(computed) == 2  # a function of other code is another, though it does the same


@pytest.mark.parametrize("what", ["seed", "weights", "pass", "micro_batch"])
def test_what_shows_in_them_makes_them_anew(tiny, computed, what):
    _, cold = run(tiny, forget, fit=False)
    if what == "weights":

        def nudge(ctx):
            with ctx.edit() as weights:
                weights["visual.proj"] += 1e-3

        _, warm = run(tiny, forget, forget, between=nudge, fit=False)
        assert len(computed) == 2 and torch.equal(warm[0]["visual.proj"], cold[0]["visual.proj"])
    elif what == "pass":
        _, warm = run(tiny, forget, forget, fit=False)
        assert len(computed) == 2 and torch.equal(warm[0]["visual.proj"], cold[0]["visual.proj"])
    else:
        run(
            tiny,
            forget,
            fit=False,
            **{"seed": {"seed": 1}, "micro_batch": {"micro_batch": 3}, "size": {"budget": 1}}[what],
        )
        assert len(computed) == (1 if what == "size" else 2)


def test_what_there_is_no_room_for_is_over_budget_as_ever(tiny, computed):
    def spent(ctx):
        list(ctx.batches("retain", 8))
        ctx.gradients(both, on="forget", steps=1)

    def fresh(ctx):
        ctx.gradients(both, on="forget", steps=1)

    for function in (fresh, spent):
        spec = MethodSpec(**FACTS, unlearn=function, config=TrainingConfig)
        outcome, _ = run_method(spec, tiny, budget=1, batch_size=8)
    assert outcome.status == "over-budget" and "retain pairs were asked for" in outcome.reason and len(computed) == 2


def draws(ctx, step):
    return forget(ctx, step) * torch.rand(1, generator=ctx.rng).item()


def drops(ctx, step):
    return ctx.features(step.forget).image.sigmoid().bernoulli().mean() + forget(ctx, step)


def logs(ctx, step):
    ctx.log("a", 1.0)
    return forget(ctx, step)


def remembers(ctx, step):
    ctx.state["a"] = torch.zeros(1)
    return forget(ctx, step)


def counts(ctx, step):
    BETWEEN.append(1)
    return forget(ctx, step)


def looks(ctx, step):
    return forget(ctx, step) + ctx.reference_features(step.forget).image.mean()


def changes(ctx, step):
    ctx.model.visual.proj.data.add_(1e-3)
    return forget(ctx, step)


def made(weight):
    return lambda ctx, step: weight * forget(ctx, step)


@pytest.mark.parametrize("loss", [draws, drops, logs, remembers, counts, looks, changes, made(2)])
def test_a_loss_that_does_more_than_look_at_its_step_is_computed_each_time(tiny, computed, loss):
    for number in range(2):
        run(tiny, loss, fit=False)
        assert len(computed) == number + 1


def test_a_model_that_is_built_otherwise_is_another(tiny, computed):
    _, cold = run(tiny, forget, fit=False)

    def unlearn(ctx):
        ctx.model.transformer.resblocks[0].mlp.gelu = torch.nn.ReLU()
        found.append(ctx.gradients(forget, on="forget", power=2, steps=2))

    found = []
    run_method(MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig), tiny, budget=2, batch_size=8)
    assert len(computed) == 2 and any(not torch.equal(found[0][name], cold[0][name]) for name in cold[0])


def test_of_code_all_counts_that_it_names(monkeypatch):
    before = code_of(both)
    assert before is not None and code_of(both) == before
    assert all(code_of(loss) is None for loss in (logs.__get__(1), made(1), print, mse.__class__, draws, counts))
    changed = forget.__code__.replace(co_consts=(None, 7))
    monkeypatch.setattr(forget, "__code__", changed)
    assert code_of(both) != before
    monkeypatch.undo()
    assert code_of(both) == before
    monkeypatch.setitem(both.__globals__, "mse", lambda a, b: (a - b).abs().mean())
    assert code_of(both) not in (None, before)
    monkeypatch.setitem(both.__globals__, "mse", 3)
    assert code_of(both) is None
