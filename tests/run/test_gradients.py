"""Gradients are computed once for all that ask for the same, and found ones are those that would be computed."""

import random

import numpy as np
import pytest
import torch

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.losses import contrastive_loss, forget_loss, retain_loss
from salmu_core.run import context
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}


@pytest.fixture(autouse=True)
def computed(tmp_path, monkeypatch):
    """An empty cache; returns a list that grows whenever gradients are computed."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    calls, plain = [], context.mean_gradients
    monkeypatch.setattr(context, "mean_gradients", lambda *args: calls.append(1) or plain(*args))
    return calls


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
            ctx.fit(forget_loss, steps=2)

    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    outcome, _ = run_method(spec, tiny, budget=budget, seed=seed, batch_size=8, lr=1e-3, **settings)
    assert outcome.traceback is None, outcome.traceback
    return outcome, found


def test_found_gradients_ledger_and_checkpoint_are_those_of_computed_ones(tiny, computed):
    first, cold = run(tiny, forget_loss, retain_loss, budget=4)
    assert len(computed) == 2
    second, warm = run(tiny, forget_loss, retain_loss, budget=4)
    assert len(computed) == 2
    for one, other in zip(cold, warm, strict=True):
        assert list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)
        assert all(one[name].stride() == other[name].stride() for name in one)
    assert fingerprint(first.model) == fingerprint(second.model) and first.scalars == second.scalars
    ledgers = [each.ledger.model_dump(exclude={"seconds", "peak_memory_bytes"}) for each in (first, second)]
    assert ledgers[0] == ledgers[1] and ledgers[0]["forget_samples"] == 2 * 8 + 2 * 8
    assert ledgers[0]["retain_samples"] == 2 * 8 and ledgers[0]["backward_passes"] == 2 * 2 + 2


def test_a_budget_another_setting_and_another_plugin_share_them(tiny, computed):
    run(tiny, forget_loss)
    run(tiny, forget_loss, budget=3, weight_decay=0.2)
    assert len(computed) == 1


def test_a_methods_own_loss_is_computed_each_time(tiny, computed):
    def own(ctx, step):
        return contrastive_loss(ctx, step.forget)

    _, ours = run(tiny, own, fit=False)
    _, ours = run(tiny, own, fit=False)
    _, cores = run(tiny, forget_loss, fit=False)
    assert len(computed) == 3 and all(torch.equal(ours[0][name], cores[0][name]) for name in ours[0])


@pytest.mark.parametrize("what", ["seed", "weights", "pass", "micro_batch"])
def test_what_shows_in_them_makes_them_anew(tiny, computed, what):
    _, cold = run(tiny, forget_loss, fit=False)
    if what == "weights":

        def nudge(ctx):
            with ctx.edit() as weights:
                weights["visual.proj"] += 1e-3

        _, warm = run(tiny, forget_loss, forget_loss, between=nudge, fit=False)
        assert len(computed) == 2 and torch.equal(warm[0]["visual.proj"], cold[0]["visual.proj"])
    elif what == "pass":
        _, warm = run(tiny, forget_loss, forget_loss, fit=False)
        assert len(computed) == 2 and torch.equal(warm[0]["visual.proj"], cold[0]["visual.proj"])
    else:
        run(
            tiny,
            forget_loss,
            fit=False,
            **{"seed": {"seed": 1}, "micro_batch": {"micro_batch": 3}, "size": {"budget": 1}}[what],
        )
        assert len(computed) == (1 if what == "size" else 2)


def test_what_there_is_no_room_for_is_over_budget_as_ever(tiny, computed):
    def spent(ctx):
        list(ctx.batches("retain", 8))
        ctx.gradients(retain_loss, on="forget", steps=1)

    def fresh(ctx):
        ctx.gradients(retain_loss, on="forget", steps=1)

    for function in (fresh, spent):
        spec = MethodSpec(**FACTS, unlearn=function, config=TrainingConfig)
        outcome, _ = run_method(spec, tiny, budget=1, batch_size=8)
    assert outcome.status == "over-budget" and "retain pairs were asked for" in outcome.reason and len(computed) == 2


def swapped(ctx):
    ctx.model.transformer.resblocks[0].mlp.gelu = torch.nn.ReLU()


def unmasked(ctx):
    ctx.model.attn_mask.zero_()  # in no state_dict


def module_hook(ctx):
    ctx.model.visual.register_forward_hook(lambda _module, _inputs, output: 2 * output + 1)


def weight_hook(ctx):
    ctx.model.visual.proj.register_hook(lambda gradient: 2 * gradient)


@pytest.mark.parametrize("change", [swapped, unmasked, module_hook, weight_hook])
def test_a_model_that_is_built_otherwise_is_another(tiny, computed, change):
    _, cold = run(tiny, forget_loss, fit=False)

    def unlearn(ctx):
        change(ctx)
        found.append(ctx.gradients(forget_loss, on="forget", power=2, steps=2))

    found = []
    run_method(MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig), tiny, budget=2, batch_size=8)
    assert len(computed) == 2 and any(not torch.equal(found[0][name], cold[0][name]) for name in cold[0])
    _, warm = run(tiny, forget_loss, fit=False)
    assert len(computed) == 2 and all(torch.equal(warm[0][name], cold[0][name]) for name in cold[0])
