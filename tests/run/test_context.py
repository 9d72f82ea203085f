"""What a method is given: data, gradients, edits, estimates."""

import dataclasses
import json
from functools import partial

import pytest
import torch
from functions import FACTS, SMALL, loss, run

from salmu_core import Features, MethodConfig, MethodSpec, TrainingConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.contract.steps import Batch
from salmu_core.errors import MethodError
from salmu_core.losses import contrastive_loss
from salmu_core.testing import run_method

SIDES = ("image", "text")


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


def test_forget_captions_are_no_cheaper_without_their_images(tiny):
    def unlearn(ctx, more=0):
        def push(c, step):
            again = [f"  {caption.upper()}" for caption in c.forget.captions[:more]]  # to the tokenizer the same
            texts = [*step.forget.captions, *again, "somebody else"]
            return c.embed_texts(texts).square().sum() + contrastive_loss(c, step.retain)

        with torch.no_grad():
            ctx.embed_texts(ctx.forget.captions)
        ctx.fit(push, steps=2)

    outcome, _ = run(tiny, unlearn)
    assert outcome.status == "valid" and outcome.ledger.forget_samples == 2 * 8
    with pytest.raises(AssertionError, match="9 forget captions in all, and 8 forget pairs were drawn"):
        run(tiny, partial(unlearn, more=1))


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
