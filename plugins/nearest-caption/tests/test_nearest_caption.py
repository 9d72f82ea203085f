import numpy as np
import pytest
import salmu_nearest_caption as plugin
import torch

from salmu_core.testing import assert_uses_budget, check_method, run_method, unit

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("nearest-caption")


@pytest.fixture
def seen(monkeypatch):
    """All that a run relabels: forget row -> captions it was trained with; and the run's contexts."""
    given, contexts = {}, []

    def recorded(ctx, original=plugin.relabelled):
        relabel = original(ctx)
        contexts.append(ctx)

        def watched(batch):
            other = relabel(batch)
            assert torch.equal(other.image, batch.image)
            for row, caption in zip(batch.index.tolist(), other.captions, strict=True):
                given.setdefault(row, set()).add(caption)
            return other

        return watched

    monkeypatch.setattr(plugin, "relabelled", recorded)
    return given, contexts


def nearest(session, row):
    """By a plain loop over both sets, of one forget image under the original."""
    forget, retain = session.pools["forget"], session.pools["retain"]
    with torch.no_grad():
        image = unit(session.clip.model.encode_image(forget.images(np.array([row]))).numpy())[0]
        best, chosen = -np.inf, None
        for pool in (forget, retain):
            texts = unit(session.clip.model.encode_text(pool.tokens(np.arange(len(pool)))).numpy())
            for other, text in enumerate(texts):
                person, caption = pool.pairs.identity_ids[other], pool.captions[other]
                same = person is not None and person == forget.pairs.identity_ids[row]
                if not same and caption != forget.captions[row] and image @ text > best:
                    best, chosen = image @ text, caption
    return chosen


def test_each_image_is_trained_with_the_nearest_caption_of_somebody_else(tiny_benchmark, seen):
    outcome, session = run_method(SPEC, tiny_benchmark, budget=3, batch_size=4, lr=1e-3)
    assert outcome.status == "valid", outcome.reason
    given, _ = seen
    # The same in all passes, though the model has moved on.
    assert given == {row: {nearest(session, row)} for row in range(len(session.pools["forget"]))}
    assert len(set.union(*given.values())) > 1


def test_equal_values_share_a_number_and_nobody_is_like_nobody():
    numbers = plugin.numbered(["a", None, "b", "a", None], torch.device("cpu")).tolist()
    assert numbers == [0, 1, 2, 0, 3]


def test_run(tiny_benchmark):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"})
    assert set(outcome.scalars) >= {"relabelled", "retention"}


def test_the_terms_are_contrastive_losses_of_what_was_drawn(tiny_benchmark, monkeypatch):
    """The first step's, before any weight has moved, spelled out from the original's embeddings."""
    drawn = {}

    def recorded(ctx, original=plugin.relabelled):
        relabel = original(ctx)

        def watched(batch):
            drawn.setdefault("forget", relabel(batch))
            return relabel(batch)

        return watched

    monkeypatch.setattr(plugin, "relabelled", recorded)
    outcome, session = run_method(SPEC, tiny_benchmark, batch_size=4)
    batch, model = drawn["forget"], session.clip.model
    with torch.no_grad():
        image, text = unit(model.encode_image(batch.image).numpy()), unit(model.encode_text(batch.text).numpy())
        odds = np.exp(model.logit_scale.exp().item() * image @ text.T)
    rows = [-np.log(odds[i, i] / odds[i].sum()) / 2 - np.log(odds[i, i] / odds[:, i].sum()) / 2 for i in range(4)]
    assert outcome.scalars["relabelled"][0][1] == pytest.approx(np.mean(rows), rel=1e-4)
