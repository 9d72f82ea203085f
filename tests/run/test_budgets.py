"""How far a budget goes: what is charged, what batches there are, and what is said when they end."""

import numpy as np
import pytest
from functions import FACTS, SMALL, loss, run

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.errors import MethodError
from salmu_core.losses import contrastive_loss
from salmu_core.run.pool import common_batch
from salmu_core.testing import run_method


def test_fit_ends_with_the_budget(tiny):
    outcome, session = run(tiny, lambda ctx: ctx.fit(loss), budget=3)
    n = len(session.pools["forget"])
    assert outcome.ledger.steps == 3 * n // 8
    assert outcome.ledger.forget_samples == outcome.ledger.retain_samples == 3 * n // 8 * 8
    assert outcome.ledger.backward_passes == outcome.ledger.steps
    assert outcome.ledger.forward_passes == 2 * outcome.ledger.steps


def test_what_is_not_looked_at_is_not_charged(tiny):
    outcome, _ = run(tiny, lambda ctx: ctx.fit(lambda c, s: contrastive_loss(c, s.retain)))
    assert outcome.ledger.forget_samples == 0 < outcome.ledger.retain_samples


def test_two_fits_share_one_budget_and_go_on_in_the_data(tiny):
    seen = []

    def watch(ctx, step):
        seen.append(tuple(step.forget.index))
        return loss(ctx, step)

    def twice(ctx):
        ctx.fit(watch, steps=2)
        ctx.fit(watch)
        assert ctx.budget.forget < 8

    run(tiny, twice)
    once = []
    run(tiny, lambda ctx: ctx.fit(lambda c, s: once.append(tuple(s.forget.index)) or loss(c, s)))
    assert seen == once and len(set(seen)) == len(seen)


def test_drawing_past_the_budget_is_over_budget(tiny):
    def greedy(ctx):
        while True:
            for batch in ctx.batches("forget"):
                assert len(batch) <= 8

    spec = MethodSpec(**FACTS, unlearn=greedy, config=TrainingConfig)
    outcome, session = run_method(spec, tiny, budget=2, **SMALL)
    assert outcome.status == "over-budget"
    assert outcome.ledger.forget_samples <= 2 * len(session.pools["forget"])


@pytest.mark.parametrize("name", ["forget", "retain"])
def test_batches_are_one_pass_over_the_set_but_for_what_the_probe_keeps(tiny, name):
    found = []

    def read(ctx):
        found.extend(ctx.batches(name))
        assert getattr(ctx.budget, name) == 2 * len(ctx.forget) - sum(map(len, found))

    run(tiny, read, budget=2)
    pool = found[0]._pool
    kept = set(pool.probed) if name == "retain" else set()
    assert sorted(np.concatenate([b.index for b in found])) == sorted(set(range(len(pool))) - kept)
    assert len(kept) == (len(pool) // 10 if name == "retain" else 0)


def test_a_batch_shrinks_to_a_set_that_has_half_of_it_and_the_record_says_so(tiny):
    outcome, session = run(tiny, lambda ctx: ctx.fit(loss), budget=2, batch_size=32)
    assert len(session.pools["forget"]) == 16
    assert outcome.status == "valid" and outcome.ledger.steps == 2
    assert outcome.ledger.forget_samples == outcome.ledger.retain_samples == 2 * 16
    (fit,) = outcome.fits
    assert fit.batch_size == 16 and fit.settings["batch_size"] == 32


@pytest.mark.parametrize(
    "unlearn", [lambda ctx: ctx.fit(loss), lambda ctx: ctx.gradients(loss, on="retain")], ids=["fit", "gradients"]
)
def test_a_batch_that_would_shrink_below_half_is_refused(tiny, unlearn):
    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    outcome, _ = run_method(spec, tiny, budget=4, batch_size=33)
    assert outcome.status == "crashed" and outcome.ledger.forget_samples == 0 and not outcome.fits
    assert "the forget set has 16" in outcome.reason and "set batch_size to 32 or less" in outcome.reason


class Room:
    """A set that gives batches up to a size."""

    def __init__(self, name, most):
        self.name, self.most = name, most

    def room(self, batch):
        return min(batch, self.most)


@pytest.mark.parametrize(("most", "size"), [(100, 20), (20, 20), (19, 19), (10, 10), (9, None)])
def test_the_scarcer_set_decides_and_is_named(most, size):
    pools = {"forget": Room("forget", 50), "retain": Room("retain", most)}
    if size:
        assert common_batch(pools, 20) == size
    else:
        with pytest.raises(MethodError, match=r"of 20 pairs.*the retain set has 9.*batch_size to 18 or less"):
            common_batch(pools, 20)


def test_a_fit_that_comes_too_late_for_a_batch_makes_no_step_whoever_spent_the_budget(tiny):
    steps = []

    def unlearn(ctx):
        ctx.gradients(lambda c, s: contrastive_loss(c, s.forget), on="forget")
        steps.append(ctx.fit(lambda c, s: contrastive_loss(c, s.forget)))
        steps.append(ctx.fit(lambda c, s: contrastive_loss(c, s.retain), steps=1))
        ctx.fit(loss, config=TrainingConfig(batch_size=16))

    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    outcome, session = run_method(spec, tiny, budget=8 / 16, **SMALL)
    assert len(session.pools["forget"]) == 16 and steps == [0, 1]
    assert outcome.status == "crashed" and "no room for a batch: 16 pairs a step, 8 allowed" in outcome.reason


@pytest.mark.parametrize(
    ("steps", "share", "drawn"),
    [(1, 0.5, [8]), (None, 0.5, [8]), (9, 1.0, [8, 8]), (2, 0.25, [4]), (None, 0.01, [1]), (1, None, [8])],
)
def test_a_look_before_a_training_takes_a_share_of_what_is_left(tiny, steps, share, drawn):
    seen = {"batches": [], "gradients": []}

    def watch(ctx, step):
        seen["gradients"].append(len(step.forget))
        return contrastive_loss(ctx, step.forget)

    def unlearn(ctx):
        assert ctx.budget.forget == ctx.budget.retain == 16
        ctx.gradients(watch, on="forget", steps=steps, share=share)
        seen["batches"] = [len(batch) for batch in ctx.batches("retain", steps=steps, share=share)]

    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    outcome, _ = run_method(spec, tiny, budget=1, **SMALL)
    assert outcome.status == "unchanged", outcome.reason
    assert seen == {"batches": drawn, "gradients": drawn}
    assert outcome.ledger.forget_samples == outcome.ledger.retain_samples == sum(drawn)


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_is_one(tiny, share):
    spec = MethodSpec(**FACTS, unlearn=lambda ctx: ctx.gradients(loss, on="forget", share=share), config=TrainingConfig)
    outcome, _ = run_method(spec, tiny, budget=1, **SMALL)
    assert outcome.status == "crashed" and f"share={share}: a number above 0" in outcome.reason


def test_a_loss_that_draws_nothing_has_the_steps_of_one_that_does(tiny):
    outcome, session = run(tiny, lambda ctx: ctx.fit(lambda c, s: c.model.logit_scale.square()), budget=3)
    assert outcome.ledger.steps == 3 * len(session.pools["forget"]) // 8 and outcome.ledger.forget_samples == 0


def test_a_loss_that_looks_at_a_set_too_late_is_told_how_steps_are_reckoned(tiny):
    def late(ctx, step):
        value = contrastive_loss(ctx, step.forget)
        return value + contrastive_loss(ctx, step.retain) if step.index % 6 else value

    def unlearn(ctx):
        list(ctx.batches("retain"))
        ctx.fit(late)

    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    outcome, _ = run_method(spec, tiny, budget=3, **SMALL)
    assert outcome.status == "over-budget" and "look at each set in the first step" in outcome.reason


def test_a_pass_of_batches_ends_with_the_room_and_the_next_one_says_so(tiny):
    drawn = []

    def unlearn(ctx):
        for _ in range(3):
            drawn.append([len(batch) for batch in ctx.batches("forget")])

    outcome, session = run_method(MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig), tiny, budget=1.5)
    n = len(session.pools["forget"])
    assert [sum(found) for found in drawn] == [n, n // 2]
    assert outcome.status == "over-budget" and outcome.ledger.forget_samples == n + n // 2


def test_both_towers_passes_are_counted(tiny):
    def unlearn(ctx):
        ctx.model.encode_text(ctx.tokenize(ctx.forget.captions[:3]))
        ctx.model.encode_image(next(ctx.batches("forget", 4)).image[:2])
        ctx.model.logit_scale.data.mul_(0.9)

    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=unlearn), tiny)
    assert (outcome.ledger.forward_captions, outcome.ledger.forward_images) == (3, 2)


def test_gradients_of_a_part_of_a_set_leave_room_and_a_whole_pass_says_so(tiny):
    def push(ctx, step):
        return ctx.features(step.forget).pair_similarity.mean()

    def unlearn(ctx, steps):
        ctx.gradients(push, on="forget", steps=steps)
        ctx.fit(push)

    outcome, session = run(tiny, lambda ctx: unlearn(ctx, 2), budget=1, batch_size=4)
    n = len(session.pools["forget"])
    assert outcome.status == "valid" and outcome.ledger.steps == n // 4 - 2
    whole, _ = run(tiny, lambda ctx: unlearn(ctx, None), budget=1, batch_size=4)
    assert whole.status == "unchanged" and f"{n} of {n} forget pairs were drawn before it" in whole.reason
