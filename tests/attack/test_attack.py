"""One attack on one checkpoint: what it is handed, what it must not see, and what is scored of what it leaves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from attack_ground import attack, by_name, nudge, unattacked

from salmu_core import TrainingConfig
from salmu_core.attack.run import run_attack
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.layout import FORGET
from salmu_core.losses import contrastive_loss
from salmu_core.machine import random_state_kept


class Few(TrainingConfig):
    """Trains on a few pairs."""

    k: int = 5
    steps: int = 2


FEW = Few.with_defaults(lr=1e-3)


def first(pairs, config, random):
    return range(config.k)


def relearn(ctx):
    ctx.fit(lambda c, step: contrastive_loss(c, step.leaked), steps=ctx.config.steps)


RELEARN = attack(relearn, config=FEW, given=("leaked",), leaked=first)


def put_back(ctx):
    with ctx.edit() as weights:
        weights["text_projection"].copy_(ctx.original.text_projection)


PUT_BACK = attack(put_back, given=("original",))


def test_surgery_that_puts_the_original_back_brings_everything_back(ground):
    outcome, own = ground(PUT_BACK), unattacked(ground, "compromised")
    assert outcome.status == "valid" and outcome.leaked == ()
    assert outcome.values == own.values and own.values["RetFail_MRR"] > 0.9
    assert unattacked(ground, "exchanged").values["RetFail_MRR"] < 0.6
    assert 0 < outcome.ledger.weights_changed < 0.1


def test_the_original_put_back_into_itself_is_a_result_and_doing_nothing_is_none(ground):
    assert ground(PUT_BACK, "compromised").values == unattacked(ground, "compromised").values
    outcome = ground(attack(lambda ctx: None))
    assert (outcome.status, outcome.values) == ("unchanged", {}) and "not a single weight" in outcome.reason
    assert ground(attack(lambda ctx: ctx.original and None, given=("original",))).status == "unchanged"


def test_leaked_pairs_come_round_again_in_batches_as_small_as_they_are(ground):
    seen, pairs = [], []

    def watch(ctx):
        pairs.append(ctx.leaked)
        assert ctx.budget.retain > 10**9

        def loss(c, step):
            seen.append((sorted(step.leaked.index), len(step.retain)))
            return contrastive_loss(c, step.leaked) + contrastive_loss(c, step.retain)

        assert ctx.fit(loss, steps=7) == 7
        assert [len(batch) for batch in ctx.batches("leaked", 3)] == [3, 2]
        gradient = ctx.gradients(lambda c, step: contrastive_loss(c, step.leaked), on="leaked", size=16)
        assert gradient.keys() == dict(ctx.model.named_parameters()).keys()

    spec = attack(watch, config=FEW, given=("leaked", "retain"), leaked=first)
    outcome = ground(spec, batch_size=16)
    assert outcome.status == "valid", outcome.traceback
    assert seen == [([0, 1, 2, 3, 4], 16)] * 7
    asked = ground.session.training.rows.asked
    assert pairs[0].captions == asked.captions[:5] and pairs[0].values == asked.values[:5]
    assert outcome.ledger.forget_samples == 7 * 5 + 5 + 5 and outcome.ledger.retain_samples == 7 * 16
    assert outcome.ledger.steps == 7
    (told,) = outcome.fits
    assert told.batch_size == 16 and ground(RELEARN).fits[0].batch_size == 5


def test_the_same_seed_gives_the_same_bits_and_nobody_elses_random_numbers_move(ground):
    def draw(ctx):
        with ctx.edit() as weights:
            weights["logit_scale"] += torch.rand(()) + torch.rand((), generator=ctx.rng)
        relearn(ctx)

    spec = attack(draw, config=FEW, given=("leaked",), leaked=lambda pairs, config, random: random.sample(range(9), 5))
    with random_state_kept():
        torch.manual_seed(1)  # noqa: TID251
        before = torch.get_rng_state()
        one, other, third = (ground(spec, seed=seed) for seed in (3, 3, 4))
        assert torch.equal(torch.get_rng_state(), before)
    assert one.leaked == other.leaked != third.leaked and one.rows.equals(other.rows)
    assert fingerprint(one.model) == fingerprint(other.model) != fingerprint(third.model)


def test_rows_that_leaked_are_not_scored_and_the_figure_is_the_mean_of_the_rest(ground, trained):
    outcome = ground(RELEARN)
    names = read_evaluation(trained / "data", trained / "data/zeroshot").base[FORGET].file_names
    scored = by_name(outcome.rows, "RetFail_MRR")
    assert outcome.leaked == (0, 1, 2, 3, 4) and [*scored] == [*names[5:]]
    assert outcome.values["RetFail_MRR"] == pytest.approx(np.mean([*scored.values()]))
    ranks = by_name(outcome.rows, "rank")
    assert all(scored[name] == pytest.approx(1 / ranks[name]) for name in names[5:])


@pytest.mark.parametrize(
    ("act", "given", "said"),
    [
        (lambda ctx: ctx.forget, ("leaked",), "an attack has no forget set"),
        (lambda ctx: ctx.fit(lambda c, s: contrastive_loss(c, s.forget), steps=1), ("leaked",), "no forget set"),
        (lambda ctx: [*ctx.batches("forget", 4)], ("leaked",), "no forget set"),
        (lambda ctx: ctx.retain, ("leaked",), "not given 'retain'"),
        (lambda ctx: ctx.fit(lambda c, s: contrastive_loss(c, s.retain), steps=1), ("leaked",), "not given 'retain'"),
        (lambda ctx: ctx.leaked, ("retain",), "not given 'leaked'"),
        (lambda ctx: ctx.original, ("leaked",), "not given 'original'"),
        (lambda ctx: ctx.fit(lambda c, s: contrastive_loss(c, s.leaked)), ("leaked",), "needs steps=..."),
        (lambda ctx: ctx.probe(), ("leaked",), "no probe"),
        (lambda ctx: ctx.model, ("leaked",), "the result is what is in ctx.model"),
    ],
)
def test_what_an_attacker_is_not_given_is_refused_in_a_sentence(ground, act, given, said):
    leaked = first if "leaked" in given else None
    outcome = ground(attack(act, config=FEW, given=given, leaked=leaked))
    assert outcome.status == "crashed" and said in outcome.reason and outcome.traceback
    assert "Error" not in outcome.reason and outcome.values == {} and len(outcome.rows) == 0


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([], "at least one"),
        ([0, 0], "each once"),
        ([-1], "from 0 to"),
        ([99], "from 0 to"),
        ([0.5], "numbers of forget rows"),
        (["a"], "numbers of forget rows"),
        (range(32), "all 32 forget rows leaked"),
    ],
)
def test_leaked_rows_that_make_no_sense_are_refused(ground, chosen, said):
    outcome = ground(attack(relearn, config=FEW, given=("leaked",), leaked=lambda *_: chosen))
    assert outcome.status == "crashed" and said in outcome.reason


def test_what_an_attack_breaks_is_its_own_result_and_is_mended_for_the_next(ground):
    def spoil(ctx):
        with torch.no_grad():
            ctx.reference.logit_scale.add_(1)
        nudge(ctx)

    def to_nan(ctx):
        with ctx.edit() as weights:
            weights["logit_scale"].fill_(float("nan"))

    def leave(ctx):
        raise SystemExit(3)

    assert ground(attack(spoil)).status == "altered"
    assert ground(attack(to_nan)).status == "non-finite"
    left = ground(attack(leave))
    assert left.status == "crashed" and left.reason == "SystemExit: 3"
    assert ground(PUT_BACK).status == "valid"


@pytest.mark.parametrize("kind", ["model", "query", "readout"])
def test_no_holdout_can_be_reached_from_what_an_attack_is_handed(ground, kind):
    """Whatever texts hang on the context, private members and all, are of forget and retain rows."""
    found = []

    def look(ctx):
        queue, seen = [ctx], set()
        while queue:
            item = queue.pop()
            if id(item) in seen or isinstance(item, torch.nn.Module | torch.Tensor | type):
                continue
            seen.add(id(item))
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, dict):
                queue += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple | set | frozenset):
                queue += item
            elif type(item).__module__.startswith("salmu_core") and hasattr(item, "__dict__"):
                queue += vars(item).values()

    given = {"model": ("leaked", "retain", "original"), "query": (), "readout": ("leaked", "retain")}[kind]
    ground(attack(look, kind, config=FEW, given=given, leaked=first if given else None))
    data = ground.session.scorer.data
    held_out = {c for split in ("holdout_association", "holdout_identity") for c in data.base[split].captions}
    assert set(data.base[FORGET].captions) & set(found) and not held_out & set(found)


def test_without_a_metric_of_leaks_nothing_can_be_attacked(ground):
    session = replace(ground.session, metrics=[])
    spec = attack(nudge)
    outcome = run_attack(spec, spec.config(), 0, ground.clips["exchanged"], session)
    assert outcome.status == "crashed" and "no metric of role 'leak' is installed" in outcome.reason
