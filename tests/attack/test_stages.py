"""Attacks on the model that go by stages: each is scored as it stands, and the one that brings back most counts."""

import json

import numpy as np
import pytest
import torch
from attack_ground import attack, by_name, nudge, unattacked

from salmu_core import Pairs, Stage, TrainingConfig
from salmu_core.attack.leaks import unscored_rows
from salmu_core.clip.weights import fingerprint
from salmu_core.errors import AttackError
from salmu_core.losses import contrastive_loss

FEW = TrainingConfig.with_defaults(lr=1e-3, batch_size=8)


def first(pairs, config, random):
    return range(6)


def loss(ctx, step):
    return contrastive_loss(ctx, step.leaked)


def trained(*parts):
    """An attack that trains for so many steps, yields, and so on; 0 puts the checkpoint back."""

    def act(ctx):
        for number, steps in enumerate(parts):
            if steps:
                ctx.fit(loss, steps=steps)
                yield Stage(f"{number}: {steps}", step=steps, curve="one")
            else:
                ctx.restart()

    return attack(act, config=FEW, given=("leaked",), leaked=first)


def put_back(ctx):
    """Half the way to the original, all of it, and away again."""
    original = ctx.original.text_projection
    for label, share in (("half", 0.5), ("whole", 1.0)):
        with ctx.edit() as weights:
            weights["text_projection"].lerp_(original, share)
        yield label
    with ctx.edit() as weights:
        weights["text_projection"].neg_()
    yield "away"


def test_each_stage_is_the_model_as_it_stands_and_the_one_that_leads_is_reported(ground):
    outcome = ground(attack(put_back, given=("original",)))
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    told = {stage["label"]: stage["values"] for stage in outcome.details["stages"]}
    assert [*told] == ["half", "whole", "away"] and outcome.details["worst"] == "whole"
    assert outcome.values == told["whole"] == unattacked(ground, "compromised").values
    assert told["away"]["RetFail_MRR"] < told["half"]["RetFail_MRR"] < told["whole"]["RetFail_MRR"]
    lines = outcome.rows.to_pylist()
    for label, values in told.items():  # the rows of each are kept, for whoever chooses
        found = [each["value"] for each in lines if (each["query"], each["column"]) == (label, "RetFail_MRR")]
        assert len(found) == 32 and np.mean(found) == pytest.approx(values["RetFail_MRR"])
    assert 0 < outcome.ledger.weights_changed < 0.1 and json.dumps(outcome.details, allow_nan=False)


def test_a_restart_leaves_nothing_of_what_was_before(ground):
    """After it the bits are those of an attack that begins there."""
    swept, alone, other = ground(trained(2, 3, 0, 4)), ground(trained(4)), ground(trained(1, 4))
    assert fingerprint(swept.model) == fingerprint(alone.model) != fingerprint(other.model)
    values = [{s["label"]: s["values"] for s in outcome.details["stages"]} for outcome in (swept, alone)]
    assert values[0]["3: 4"] == values[1]["0: 4"]
    assert swept.ledger.steps == 9 and [fit.first_step for fit in swept.fits] == [0, 2, 5]
    assert [step for step, _ in swept.scalars["loss"]] == [*range(1, 10)]


def test_what_comes_between_two_trainings_does_not_show_in_the_second(ground):
    def twice(ctx):
        for _ in range(2):
            ctx.fit(loss, steps=3)

    plain, staged = ground(attack(twice, config=FEW, given=("leaked",), leaked=first)), ground(trained(3, 3))
    assert fingerprint(plain.model) == fingerprint(staged.model)
    assert plain.values == staged.details["stages"][-1]["values"]
    assert plain.details == {} and "query" not in plain.rows.column_names


def test_each_training_begins_a_new_optimizer(ground):
    """Adam's first step is the rate's size wherever there is a gradient; one with a memory differs."""
    moved = []

    def act(ctx):
        before = ctx.model.visual.proj.detach().clone()
        for label in "ab":
            ctx.fit(loss, steps=1)
            after = ctx.model.visual.proj.detach().clone()
            moved.append(np.median((after - before).abs().numpy()))
            before = after
            yield label

    spec = attack(act, config=FEW, given=("leaked",), leaked=first)
    assert ground(spec, warmup=0.0).status == "valid" and moved == pytest.approx([1e-3, 1e-3], rel=0.01)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda ctx: (_ for _ in ()), "yielded nothing, so there is no stage"),
        (lambda ctx: (nudge(ctx) or "same" for _ in range(2)), "yielded 'same' twice"),
        (lambda ctx: (nudge(ctx) for _ in range(2)), "yielded None; it must yield a label"),
        (lambda ctx: (nudge(ctx) or "" for _ in range(2)), "yielded ''; it must yield a label"),
        (lambda ctx: (Stage("one", step=float("nan")) for _ in range(2)), "whose step is no finite number"),
    ],
)
def test_stages_that_make_no_sense_are_refused(ground, act, said):
    outcome = ground(attack(act))
    assert outcome.status == "crashed" and said in outcome.reason, outcome.reason
    assert outcome.values == {} and outcome.details == {} and len(outcome.rows) == 0


def test_a_stage_may_change_nothing_and_an_attack_may_not(ground):
    def late(ctx):
        yield "before"
        nudge(ctx)
        yield "after"

    assert ground(attack(late)).status == "valid"
    assert ground(attack(lambda ctx: (label for label in "ab"))).status == "unchanged"


def test_what_one_stage_breaks_ends_the_attack(ground):
    def spoil(ctx):
        nudge(ctx)
        yield "one"
        with torch.no_grad():
            ctx.reference.logit_scale.add_(1)
        raise ValueError("and more")

    def to_nan(ctx):
        nudge(ctx)
        yield "one"
        with ctx.edit() as weights:
            weights["logit_scale"].fill_(float("nan"))
        yield "two"

    assert ground(attack(spoil)).status == "altered"
    assert ground(attack(to_nan)).status == "non-finite"


def test_of_whole_facts_no_row_that_tells_the_same_is_scored(ground):
    spec = trained(2).model_copy(update={"whole_facts": True, "leaked": lambda *_: [0, 1]})
    pairs = ground.session.training.rows.asked
    held = {(pairs.identity_ids[row], pairs.fields[row]) for row in (0, 1)}
    outcome = ground(spec)
    rows = by_name(outcome.rows, "RetFail_MRR")
    assert outcome.leaked == (0, 1) and len(rows) == 30  # each of a person's facts is told once here
    told = Pairs(tuple("abcdef"), ("p", "p", "p", "q", "q", None), fields=("x", "y", "x", "x", None, "x"))
    assert unscored_rows(spec, told, (0, 4)) == (0, 2, 4) and len(held) == 2
    with pytest.raises(AttackError, match="every fact"):
        unscored_rows(spec, told.of([0, 2]), (0,))
