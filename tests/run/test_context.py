"""What a method is given: data, budget, gradients, edits, estimates."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from salmu_core import Features, MethodConfig, MethodSpec, TrainingConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.steps import Batch
from salmu_core.errors import MethodError
from salmu_core.losses import contrastive_loss
from salmu_core.run.pool import common_batch
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
SIDES = ("image", "text")
SMALL = {"batch_size": 8, "lr": 1e-3}


def run(tiny, unlearn, *, budget=2, seed=0, config=TrainingConfig, **settings):
    """Run a method given by its function; its exceptions are the test's."""
    spec = MethodSpec(**FACTS, unlearn=unlearn, config=config)
    settings = {**SMALL, **settings} if config is TrainingConfig else settings
    outcome, session = run_method(spec, tiny, budget=budget, seed=seed, **settings)
    assert outcome.traceback is None, outcome.traceback
    return outcome, session


def loss(ctx, step):
    return contrastive_loss(ctx, step.forget) + contrastive_loss(ctx, step.retain)


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


def test_the_retain_rows_of_the_probe_are_never_drawn(tiny):
    drawn, pools = set(), []

    def watch(ctx, step):
        drawn.update(step.retain.index)
        pools.append(step.retain._pool)
        return loss(ctx, step)

    def unlearn(ctx):
        ctx.fit(watch, steps=20)
        ctx.gradients(watch, on="retain")

    run(tiny, unlearn, budget=30)
    assert len(drawn) == len(pools[0].rows) and not drawn & set(pools[0].probed)


def test_batches_hold_the_rows_they_name(tiny):
    facts = {}

    def read(ctx):
        facts["captions"] = ctx.forget.captions
        facts["generic"] = ctx.forget.generic_captions
        facts["batch"] = next(ctx.batches("forget"))
        facts["tokens"] = ctx.tokenize(facts["batch"].captions)

    run(tiny, read)
    batch = facts["batch"]
    assert batch.captions == tuple(facts["captions"][i] for i in batch.index)
    assert torch.equal(batch.text, facts["tokens"]) and batch.image.shape == (8, 3, 16, 16)
    generic = json.loads((tiny / "sensitive_set_generic_captions.json").read_text())
    assert set(facts["generic"]) <= set(generic.values()) and len(facts["generic"]) == len(facts["captions"])


def test_other_captions_reach_the_loss_and_only_there(tiny):
    captions = {}

    def unlearn(ctx):
        def watch(c, step):
            new = step.forget.captioned([f"caption {row}" for row in step.forget.index])
            captions.update(zip(new.index.tolist(), new.captions, strict=True))
            captions["retain"] = step.retain.captions
            assert torch.equal(new.text, c.tokenize(new.captions)) and new.image is step.forget.image
            assert not torch.equal(new.text, step.forget.text)
            original = c.reference_features(new)
            assert torch.equal(original.image, c.reference_features(step.forget).image)
            assert torch.equal(original.text, c.reference_texts(new.captions)) and not original.text.requires_grad
            with torch.no_grad():
                expected = c.reference.encode_text(new.text, normalize=True)
            assert torch.allclose(original.text, expected, atol=1e-6)
            with pytest.raises(MethodError, match="each of the batch's 8 rows, not 2"):
                step.forget.captioned(["a", "b"])
            return contrastive_loss(c, new) + contrastive_loss(c, step.retain)

        ctx.fit(watch)

    run(tiny, unlearn)
    assert all(c.startswith("A picture") for c in captions.pop("retain"))
    assert captions and all(caption == f"caption {i}" for i, caption in captions.items())


def test_texts_that_are_no_caption_are_embedded_with_gradients_and_counted(tiny):
    def unlearn(ctx):
        def push(c, step):
            texts = c.embed_texts(["a stranger", "somebody else"])
            assert texts.requires_grad and torch.allclose(texts.norm(dim=1), torch.ones(2))
            kept = c.reference_texts(["a stranger", "somebody else"])
            return (c.features(step.forget).text.mean(0) - texts).square().sum() + (texts - kept).square().sum()

        ctx.fit(push, steps=2)

    outcome, _ = run(tiny, unlearn)
    assert outcome.ledger.forward_captions == 2 * (8 + 2) and outcome.ledger.steps == 2


def test_reference_features_are_the_originals_whatever_the_model_became(tiny):
    found = {}

    def unlearn(ctx):
        ctx.fit(loss, steps=2)
        batch = next(ctx.batches("forget"))
        found["cached"] = ctx.reference_features(batch)
        with torch.no_grad():
            image, text = (getattr(ctx.reference, f"encode_{x}")(getattr(batch, x), normalize=True) for x in SIDES)
            found["direct"] = Features(image, text)
            found["moved"] = ctx.features(batch)

    outcome, _ = run(tiny, unlearn)
    assert (found["cached"].similarity - found["direct"].similarity).abs().max() < 1e-5
    assert (found["cached"].similarity - found["moved"].similarity).abs().max() > 1e-3
    assert not found["cached"].image.requires_grad
    assert outcome.ledger.reference_samples == len(found["cached"].image)


@pytest.mark.parametrize("power", [1, 2])
def test_gradients_are_the_mean_over_batches(tiny, power):
    found = {}

    def unlearn(ctx):
        batches = []

        def watch(c, step):
            batches.append(step.forget)
            return contrastive_loss(c, step.forget)

        found["ours"] = ctx.gradients(watch, on="forget", power=power)
        sums = {}
        for batch in batches:
            ctx.model.zero_grad()
            contrastive_loss(ctx, batch).backward()
            for name, p in ctx.model.named_parameters():
                if p.grad is not None:
                    sums[name] = sums.get(name, 0) + p.grad.clone() ** power / len(batches)
        found["bare"] = sums
        ctx.model.zero_grad(set_to_none=True)

    outcome, session = run(tiny, unlearn)
    assert len(found["bare"]) > 10 and outcome.ledger.steps == 0
    assert outcome.ledger.forget_samples == len(session.pools["forget"]) // 8 * 8
    for name, value in found["bare"].items():
        assert torch.allclose(found["ours"][name], value, rtol=1e-4, atol=1e-8), name


def test_edits_are_in_place_and_need_no_gradients(tiny):
    def unlearn(ctx):
        with ctx.edit() as weights:
            weights["visual.proj"] += ctx.randn_like(weights["visual.proj"])

    outcome, session = run(tiny, unlearn, config=MethodConfig)
    before = dict(session.clip.model.named_parameters())
    moved = [n for n, p in outcome.model.named_parameters() if not torch.equal(p, before[n])]
    assert outcome.status == "valid" and moved == ["visual.proj"]
    total = sum(p.numel() for p in before.values())
    assert outcome.ledger.weights_changed == pytest.approx(before["visual.proj"].numel() / total, rel=0.01)
    again, _ = run(tiny, unlearn, config=MethodConfig)
    other, _ = run(tiny, unlearn, config=MethodConfig, seed=1)
    assert fingerprint(again.model) == fingerprint(outcome.model) != fingerprint(other.model)


def test_the_probe_agrees_with_numpy(tiny):
    found = {}

    def unlearn(ctx):
        found["probe"] = ctx.probe()
        with torch.no_grad():
            pools = [next(ctx.batches(name))._pool for name in ("forget", "retain")]
            batches = [Batch(pool, pool.probed) for pool in pools]
            image = torch.cat([ctx.model.encode_image(b.image, normalize=True) for b in batches]).numpy()
            text = torch.cat([ctx.model.encode_text(b.text, normalize=True) for b in batches]).numpy()
        similarity = image @ text.T
        own = similarity.diagonal()
        reciprocal = 1 / (1 + (similarity > own[:, None] + 1e-7).sum(1))
        n = len(pools[0].probed)
        found["numpy"] = (reciprocal[:n].mean(), own[:n].mean(), reciprocal[n:].mean(), own[n:].mean(), 1.0)
        with ctx.edit() as weights:
            weights["text_projection"][:] = ctx.randn_like(weights["text_projection"])
        found["agreement"] = ctx.probe().retain_agreement
        with torch.no_grad():
            text = torch.cat([ctx.model.encode_text(b.text, normalize=True) for b in batches]).numpy()
        now = (image[n:] @ text[n:].T).argmax(1) == similarity[n:, n:].argmax(1)
        found["numpy agreement"] = now.mean()

    outcome, _ = run(tiny, unlearn)
    assert dataclasses.astuple(found["probe"]) == pytest.approx(found["numpy"], abs=1e-6)
    assert found["agreement"] == pytest.approx(found["numpy agreement"])
    assert found["agreement"] < 1
    assert outcome.ledger.probes == 2


def test_permutations_belong_to_the_step(tiny):
    drawn = []

    def watch(ctx, step):
        drawn.append(step.permutation(8).tolist())
        assert drawn[-1] == step.permutation(8).tolist()
        return loss(ctx, step)

    run(tiny, lambda ctx: ctx.fit(watch, steps=4))
    assert all(sorted(p) == list(range(8)) for p in drawn) and len({tuple(p) for p in drawn}) > 1


def test_a_fit_without_settings_is_explained(tiny):
    spec = MethodSpec(**FACTS, unlearn=lambda ctx: ctx.fit(loss), config=MethodConfig)
    outcome, _ = run_method(spec, tiny)
    assert outcome.status == "crashed" and "TrainingConfig" in outcome.reason


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


def test_every_call_of_fit_is_in_the_record_with_its_settings(tiny):
    other = TrainingConfig(batch_size=4, lr=0.5, beta1=0.1, schedule="constant")

    def unlearn(ctx):
        ctx.fit(loss, steps=2)
        ctx.fit(loss, steps=3, config=other)
        ctx.fit(loss)

    outcome, _ = run(tiny, unlearn, budget=8)
    own = TrainingConfig(**SMALL).model_dump()
    assert [fit.first_step for fit in outcome.fits] == [0, 2, 5] and outcome.ledger.steps > 5
    assert [fit.settings for fit in outcome.fits] == [own, other.model_dump(), own]
    assert [fit.batch_size for fit in outcome.fits] == [8, 4, 8]
    assert own.keys() >= {"lr", "weight_decay", "beta1", "beta2", "eps", "schedule", "max_grad_norm", "warmup"}


def test_logged_scalars_are_kept(tiny):
    def unlearn(ctx):
        ctx.fit(loss, steps=2)
        ctx.log("mine", 0.5)

    outcome, _ = run(tiny, unlearn)
    assert outcome.scalars["mine"] == [(2, 0.5)]
    assert [step for step, _ in outcome.scalars["loss"]] == [1, 2]


def bound(weights):
    weights["visual.proj"] = weights["visual.proj"] * 2


def pointed(weights):
    weights["visual.proj"].data = weights["visual.proj"] * 2


def misspelt(weights):
    weights["visual.project"] = weights["visual.proj"] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (bound, "visual.proj was replaced"),
        (pointed, "visual.proj was replaced"),
        (lambda weights: weights.clear(), "was replaced"),
        (misspelt, "no weight is called 'visual.project'"),
    ],
)
def test_an_edit_that_changes_nothing_is_told(tiny, change, words):
    def unlearn(ctx):
        with ctx.edit() as weights:
            weights["logit_scale"].mul_(0.9)
            change(weights)

    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=unlearn), tiny)
    assert outcome.status == "crashed" and words in outcome.reason


@pytest.mark.parametrize("member", ["embed_texts", "reference_texts", "tokenize"])
@pytest.mark.parametrize("captions", ["Ada", "", [], ()])
def test_a_text_alone_or_none_is_no_list_of_texts(tiny, member, captions):
    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=lambda ctx: getattr(ctx, member)(captions)), tiny)
    assert outcome.status == "crashed" and "a list of one or more" in outcome.reason


def test_many_texts_are_embedded_by_the_original_in_parts_of_one_size(tiny, monkeypatch):
    sizes, captions = [], [f"caption {n}" for n in range(300)]

    def unlearn(ctx):
        encode = ctx.reference.encode_text
        monkeypatch.setattr(
            ctx.reference,
            "encode_text",
            lambda tokens, normalize: sizes.append(len(tokens)) or encode(tokens, normalize),
        )
        found = ctx.reference_texts(captions)
        with torch.no_grad():
            assert torch.allclose(found, encode(ctx.tokenize(captions), normalize=True), atol=1e-6)

    run(tiny, unlearn)
    assert sizes == [64, 64, 64, 64, 44]  # of a part, each length apart


@pytest.mark.parametrize(
    "draws",
    [
        lambda ctx: list(ctx.batches("holdout", 4)),
        lambda ctx: ctx.gradients(loss, on="holdout", size=4),
        lambda ctx: ctx.fit(lambda c, step: contrastive_loss(c, step.leaked), config=TrainingConfig(batch_size=4)),
    ],
)
def test_a_set_that_there_is_not_is_told(tiny, draws):
    outcome, _ = run_method(MethodSpec(**FACTS, unlearn=draws), tiny)
    assert outcome.status == "crashed" and "there is 'forget' and 'retain'" in outcome.reason


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
