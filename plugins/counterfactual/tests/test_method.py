import json
from random import Random

import numpy as np
import pytest
import salmu_counterfactual as plugin
import torch
from salmu_counterfactual.method import Config, Goals, terms, words_of

from salmu_core import MethodError
from salmu_core.testing import check_method, run_method, unit, write_tiny_benchmark

(SPEC,) = plugin.salmu_methods()
SMALL = {"batch_size": 4, "sentences": 4, "counterfactuals": 8, "restated": 2}

test_conformance = check_method("counterfactual")


def vectors(seed, rows, d=6):
    return unit(np.random.default_rng(seed).normal(size=(rows, d)))


PEOPLE = ("ann", "bob", "ann", "cleo", "bob", "ann")
SEEN = [0, 1, 2, 4]


def goals_of(**settings):
    texts, images, retain = map(torch.tensor, (TEXTS, IMAGES, RETAIN))
    return Goals.placed(Config(**settings), texts, images, torch.tensor(SEEN), PEOPLE, retain)


TEXTS, IMAGES, RETAIN, STRANGERS = vectors(1, 9), vectors(2, 4) + 0.4, vectors(3, 7) + 0.1, vectors(4, 6)


def directions():
    """The images' mean, and for each row what its person's images add to it; of Cleo none were seen."""
    axis = IMAGES.mean(axis=0) / np.linalg.norm(IMAGES.mean(axis=0))
    means = {who: IMAGES[[PEOPLE[row] == who for row in SEEN]].mean(axis=0) for who in ("ann", "bob")}
    own = {who: mean - (mean @ axis) * axis for who, mean in means.items()}
    return axis, {who: rest / np.linalg.norm(rest) for who, rest in own.items()}


def test_goals_are_as_near_to_the_images_as_retain_captions_and_aside_of_the_person():
    goals, (axis, own) = goals_of(), directions()
    for found in (goals.of(range(6)), goals.of(range(6), torch.tensor(STRANGERS))):
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(6))
        assert found.numpy() @ axis == pytest.approx(np.full(6, (RETAIN @ axis).mean()))
        assert [float(row @ own[who]) for who, row in zip(PEOPLE, found.numpy(), strict=True) if who in own] == (
            pytest.approx([0] * 5, abs=1e-7)
        )


def test_goals_can_be_put_at_a_level():
    found, (axis, _) = goals_of(level=-0.25).of(range(6), torch.tensor(STRANGERS)), directions()
    assert found.numpy() @ axis == pytest.approx(np.full(6, -0.25))


def test_of_one_person_alone_nothing_is_known_that_others_lack():
    texts, images, retain = map(torch.tensor, (TEXTS, IMAGES, RETAIN))
    for people in (["ann"] * 4, [None] * 4):
        goals = Goals.placed(Config(), texts, images, torch.tensor(range(4)), people, retain)
        assert not goals.people.any()
        assert goals.of([2]).norm() == pytest.approx(1)
    assert Goals.placed(Config(), texts, images, torch.tensor([0, 1, 0, 1]), ["ann", None], retain).people[0].any()


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_a_goal_lies_between_what_captions_have_in_common_and_the_stranger(share):
    axis, own = directions()

    def stripped(text, who):
        # What is left of a vector beside all vectors of a plane: the residual of least squares.
        plane = np.stack([axis, own[who]] if who in own else [axis], axis=1)
        rest = text - plane @ np.linalg.lstsq(plane, text, rcond=None)[0]
        return rest / np.linalg.norm(rest)

    rows, level = [3, 0, 1], (RETAIN @ axis).mean()
    for row, found in zip(rows, goals_of(stranger=share).of(rows, torch.tensor(STRANGERS[rows])), strict=True):
        common, stranger = (stripped(text, PEOPLE[row]) for text in (TEXTS.mean(axis=0), STRANGERS[row]))
        between = (1 - share) * common + share * stranger
        expected = level * axis + np.sqrt(1 - level**2) * between / np.linalg.norm(between)
        assert found.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("count", [3, 0])
def test_the_loss_has_its_terms(count):
    texts = [vectors(seed, rows) for seed, rows in enumerate([5, count, 4, 6])]
    goals = [vectors(seed, rows) for seed, rows in enumerate([5, count, 4, 6], start=9)]
    config = Config(forget_weight=2, restated_weight=0.5, tail_weight=3, keep_weight=5, retain_weight=7)
    values = terms(config, *zip(map(torch.tensor, texts), map(torch.tensor, goals), strict=True))
    # On the unit sphere a squared distance is 2 - 2 cos.
    forget, restated, kept, retain = (2 - 2 * (a * b).sum(axis=1) for a, b in zip(texts, goals, strict=True))
    expected = {
        "forget": 2 * forget.mean(),
        "tail": 3 * (np.concatenate([forget, restated]) ** 2).mean(),
        "keep": 5 * kept.mean(),
        "retain": 7 * retain.mean(),
    }
    expected |= {"restated": 0.5 * restated.mean()} if count else {}
    assert {name: float(value) for name, value in values.items()} == pytest.approx(expected)


def test_only_the_text_tower_changes(tiny_benchmark):
    outcome, session = run_method(SPEC, tiny_benchmark, budget=4, **SMALL)
    assert outcome.status == "valid" and outcome.ledger.forward_images == 0
    looked_at, steps = 3, outcome.ledger.steps  # a twentieth of 4 x 16 pairs
    assert outcome.ledger.forget_samples == outcome.ledger.retain_samples == looked_at + 4 * steps and steps == 15
    before = dict(session.clip.model.named_parameters())
    for name, weight in outcome.model.named_parameters():
        same = torch.equal(weight, before[name])
        assert same == (name.startswith("visual.") or name == "logit_scale"), name
    first, last = outcome.scalars["forget"][0][1], outcome.scalars["forget"][-1][1]
    assert last < first


def with_context(folder, length):
    """A tiny benchmark whose models read so many tokens, the two around every text among them."""
    tiny = write_tiny_benchmark(folder)
    for role in ("clean", "compromised"):
        config = json.loads((tiny / role / "open_clip_config.json").read_text())
        config["model_cfg"]["text_cfg"]["context_length"] = length
        (tiny / role / "open_clip_config.json").write_text(json.dumps(config))
        (tiny / role / "salmu_canary.json").unlink(missing_ok=True)
    return tiny


def test_what_the_context_cuts_down_to_a_forget_caption_is_left_out(tmp_path):
    tiny = with_context(tmp_path / "tiny", 8)  # in which no value has room
    outcome, _ = run_method(SPEC, tiny, budget=4, **SMALL | {"restated": 16})
    assert outcome.status == "valid", outcome.reason


def test_a_context_that_cuts_everything_off_is_refused(tmp_path):
    outcome, _ = run_method(SPEC, with_context(tmp_path / "tiny", 2), budget=4, **SMALL)
    assert outcome.status == "crashed" and "cuts every sentence off" in outcome.reason


class Ctx:
    """What `words_of` asks of a context: a tokenizer that takes letters in pairs, those of the end otherwise."""

    def __init__(self, words="known", tokens=810):
        self.config = Config(words=words)
        # The first matrix is none of words, though it has as many rows.
        self.model = torch.nn.ModuleDict({"mlp": torch.nn.Linear(64, 900), "words": torch.nn.Embedding(tokens, 64)})
        torch.nn.init.normal_(self.model["words"].weight, std=0.02, generator=torch.Generator().manual_seed(0))
        pairs = [a + b for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst"]
        self.words = ["<start>", *pairs, *(pair + "</w>" for pair in pairs)]
        self.numbers = {word: number for number, word in enumerate(self.words)}

    def grown(self, *numbers):
        self.model["words"].weight.data[list(numbers)] *= 4
        return self

    def vocabulary(self):
        # The tokenizer knows more than the table has rows for.
        return dict(enumerate([*self.words, *"123456789", "beyond"]))

    def tokenize(self, texts):
        tokens = [[text[i : i + 2].lower() for i in range(0, len(text), 2)] for text in texts]
        ids = [[self.numbers[t + "</w>" * (n == len(row) - 1)] for n, t in enumerate(row)] for row in tokens]
        return torch.tensor([[0, *row, *[0] * (3 - len(row))] for row in ids])


HEADS, ENDS = range(1, 121), range(601, 661)


def test_words_are_made_of_tokens_whose_rows_have_grown():
    ctx = Ctx().grown(*HEADS, *ENDS)
    words, (heads, ends) = words_of(ctx, Random(0)), ([ctx.words[n] for n in part] for part in (HEADS, ENDS))
    ends = [end.removesuffix("</w>") for end in ends]
    joined = {(head + end).title() for head in heads for end in ends}
    assert {word.title() for word in ends} < set(words) <= joined | {word.title() for word in ends}
    assert len(set(words) & joined) > 1_000


@pytest.mark.parametrize("ctx", [Ctx(words="all").grown(*HEADS, *ENDS), Ctx().grown(*range(1, 50))])
def test_of_all_words_where_few_are_known_or_all_are_asked_for(ctx):
    words = words_of(ctx, Random(0))
    assert {pair.title() for pair in ctx.words[1:401]} < set(words)
    assert any(word[2:] + "</w>" in ctx.words[700:] for word in words)


def test_a_model_without_words_is_refused():
    ctx = Ctx()
    del ctx.model["words"]
    with pytest.raises(MethodError, match="no table of token embeddings"):
        words_of(ctx, Random(0))
    ctx = Ctx()
    ctx.vocabulary = lambda: {0: "1", 1: "2"}
    with pytest.raises(MethodError, match="no words of letters"):
        words_of(ctx, Random(0))
