import numpy as np
import pytest
import salmu_counterfactual as plugin
import torch
from salmu_counterfactual.method import Config, anchor_of, terms, words_of

from salmu_core import MethodError
from salmu_core.testing import check_method, run_method, unit, write_tiny_benchmark

(SPEC,) = plugin.salmu_methods()
SMALL = {"batch_size": 4, "sentences": 4, "counterfactuals": 8, "restated": 2}

test_conformance = check_method("counterfactual")


def vectors(seed, rows, d=6):
    return unit(np.random.default_rng(seed).normal(size=(rows, d)))


def test_the_anchor_is_as_near_to_the_images_as_retain_captions_are():
    texts, images, retain = vectors(1, 9), vectors(2, 5) + 0.4, vectors(3, 7) + 0.1
    anchor = anchor_of(*map(torch.tensor, (texts, images, retain))).numpy()
    mean = images.mean(axis=0)
    assert np.linalg.norm(anchor) == pytest.approx(1)
    assert anchor @ mean == pytest.approx((retain @ mean).mean())
    # Of the directions aside from the images' mean it takes the counterfactual captions'.
    axis = mean / np.linalg.norm(mean)
    aside, common = anchor - (anchor @ axis) * axis, texts.mean(axis=0)
    common = common - (common @ axis) * axis
    assert aside @ common == pytest.approx(np.linalg.norm(aside) * np.linalg.norm(common))


def test_the_anchor_can_be_put_at_a_level():
    texts, images, retain = (torch.tensor(vectors(seed, 5)) for seed in (1, 2, 3))
    anchor, mean = anchor_of(texts, images, retain, level=-0.25), images.mean(dim=0)
    assert float(anchor.norm()) == pytest.approx(1)
    assert float(anchor @ mean / mean.norm()) == pytest.approx(-0.25)


@pytest.mark.parametrize("count", [3, 0])
def test_the_loss_has_its_terms(count):
    anchor, forget, restated = vectors(1, 1)[0], vectors(2, 5), vectors(9, 3)[:count]
    kept, kept_0, retain, retain_0 = (vectors(seed, 4) for seed in range(3, 7))
    config = Config(forget_weight=2, restated_weight=0.5, tail_weight=3, keep_weight=5, retain_weight=7)
    values = terms(
        config,
        (torch.tensor(forget), torch.tensor(restated)),
        torch.tensor(anchor),
        (torch.tensor(kept), torch.tensor(kept_0)),
        (torch.tensor(retain), torch.tensor(retain_0)),
    )
    # On the unit sphere a squared distance is 2 - 2 cos.
    squared, more = 2 - 2 * forget @ anchor, 2 - 2 * restated @ anchor
    expected = {
        "forget": 2 * squared.mean(),
        "tail": 3 * (np.concatenate([squared, more]) ** 2).mean(),
        "keep": 5 * (2 - 2 * (kept * kept_0).sum(axis=1)).mean(),
        "retain": 7 * (2 - 2 * (retain * retain_0).sum(axis=1)).mean(),
    }
    expected |= {"restated": 0.5 * more.mean()} if count else {}
    assert {name: float(value) for name, value in values.items()} == pytest.approx(expected)


def test_only_the_text_tower_changes(tmp_path):
    tiny = write_tiny_benchmark(tmp_path / "tiny")
    outcome, session = run_method(SPEC, tiny, budget=4, **SMALL)
    assert outcome.status == "valid" and outcome.ledger.forward_images == 0
    looked_at, steps = 3, outcome.ledger.steps  # a twentieth of 4 x 16 pairs
    assert outcome.ledger.forget_samples == outcome.ledger.retain_samples == looked_at + 4 * steps and steps == 15
    before = dict(session.clip.model.named_parameters())
    for name, weight in outcome.model.named_parameters():
        same = torch.equal(weight, before[name])
        assert same == (name.startswith("visual.") or name == "logit_scale"), name
    first, last = outcome.scalars["forget"][0][1], outcome.scalars["forget"][-1][1]
    assert last < first


class Ctx:
    """What `words_of` asks of a context."""

    def __init__(self, words="known", tokens=400):
        self.config = Config(words=words)
        # The first matrix is none of words, though it has as many rows.
        self.model = torch.nn.ModuleDict({"mlp": torch.nn.Linear(64, 512), "words": torch.nn.Embedding(tokens, 64)})
        torch.nn.init.normal_(self.model["words"].weight, std=0.02, generator=torch.Generator().manual_seed(0))
        self.model["words"].weight.data[150:300] *= 4
        letters = "abcdefghijklmnopqrst"
        self.words = [a + b for a in letters for b in letters]

    def vocabulary(self):
        # The tokenizer knows one more than the table.
        return {n: word + "</w>" * (n % 2) for n, word in enumerate([*self.words, "added"])}


def test_words_are_those_whose_rows_have_grown():
    ctx = Ctx()
    assert words_of(ctx) == ctx.words[150:300]
    assert words_of(Ctx(words="all")) == ctx.words
    ctx.model["words"].weight.data /= 4
    assert words_of(ctx) == ctx.words


def test_a_model_without_words_is_refused():
    ctx = Ctx()
    del ctx.model["words"]
    with pytest.raises(MethodError, match="no table of token embeddings"):
        words_of(ctx)
    ctx = Ctx()
    ctx.vocabulary = lambda: {0: "1", 1: "2"}
    with pytest.raises(MethodError, match="no words of letters"):
        words_of(ctx)
