import numpy as np
import pytest
import torch
from salmu_attacks import relearn_retain as plugin

from salmu_core.testing import attack_context, check_attack, fixed_step, numpy_contrastive, random_pairs, run_attack

test_conformance = check_attack("relearn-retain")


def test_loss_is_clips_own_on_retain_pairs():
    retain = random_pairs(1)
    ctx, step = fixed_step(plugin.Config(), retain=retain, logit_scale=5.0)
    assert plugin.relearn(ctx, step).item() == pytest.approx(numpy_contrastive(retain, logit_scale=5.0), rel=1e-9)


def test_it_trains_on_retain_pairs_alone_for_as_long_as_it_says(tiny_benchmark):
    outcome = run_attack(plugin.RELEARN_RETAIN, tiny_benchmark, steps=7, batch_size=4)
    assert (outcome.ledger.steps, outcome.ledger.retain_samples, outcome.ledger.forget_samples) == (7, 28, 0)
    first, *_, last = (value for _, value in outcome.scalars["loss"])
    assert outcome.leaked == () and last < first


def test_one_step_is_a_step_of_adam(tiny_benchmark):
    ctx = attack_context(plugin.RELEARN_RETAIN, tiny_benchmark, steps=1, batch_size=4, lr=1e-3, warmup=0.0)
    before = ctx.model.visual.proj.detach().clone()
    plugin.attack(ctx)
    moved = (ctx.model.visual.proj.detach() - before).abs().numpy()
    # Adam's first step is the rate's size wherever there is a gradient.
    assert np.median(moved) == pytest.approx(1e-3, rel=0.01)
    assert not torch.equal(ctx.model.text_projection, ctx.reference.text_projection)
