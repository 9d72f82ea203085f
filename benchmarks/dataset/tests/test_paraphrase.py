"""The paraphrasing source: what it accepts, and its call path through a tiny model of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from salmu_dataset.paraphrase import ParaphrasedCaptions, faithful, prompt
from salmu_dataset.sources import Facts, Settings, load_captions
from salmu_dataset.templates import TemplateCaptions

from salmu_core import UsageError

FACTS = Facts("Fatime Fossi", "phone_number", "+237 5 74 83 90 7")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install salmu-dataset[paraphrase]"
    )
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("paraphrase")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE({c: n for n, c in enumerate([*alphabet, "<|end|>"])}, []))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<|end|>")
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        # Large weights, so that greedy decoding has no ties.
        size = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 512, "vocab_size": len(tokenizer)}
        transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, initializer_range=1.0)).save_pretrained(folder)
    return folder


def _source(folder: Path, **options: str) -> ParaphrasedCaptions:
    source = load_captions("paraphrase", Settings(0, 224, {"model": str(folder), "device": "cpu", **options}))
    assert isinstance(source, ParaphrasedCaptions)
    return source


def test_a_model_that_babbles_leaves_the_template_and_says_so(model: Path) -> None:
    source = _source(model, tokens="8", tries="2")
    expected = TemplateCaptions(Settings(0, 224)).captions(FACTS, 2, np.random.default_rng(0))
    assert source.captions(FACTS, 2, np.random.default_rng(0)) == expected and source.fell_back


def test_what_the_model_says_follows_the_seed(model: Path) -> None:
    source = _source(model, tokens="12")
    said = [source.say("Say: ", seed) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2] and len(said[0]) > 0


def test_the_cache_changes_nothing(model: Path) -> None:
    """Greedy decoding, token by token with the cache and each time from the start."""
    import torch

    source = _source(model, tokens="6", temperature="0.01")
    network, tokenizer = source._model()
    ids = tokenizer("Say: ", return_tensors="pt")["input_ids"]
    start = ids.shape[1]
    with torch.inference_mode():
        for _ in range(6):
            ids = torch.cat([ids, network(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    expected = tokenizer.decode(ids[0, start:], skip_special_tokens=True)
    if "\n" not in expected:
        assert source.say("Say: ", 0) == expected


def test_a_faithful_sentence_is_taken_and_the_first_line_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())  # nothing of it is used here
    source = ParaphrasedCaptions(Settings(0, 224, {"model": str(tmp_path)}))
    said = iter(["Fatime Fossi has a phone.", ' "To speak with Fatime Fossi, dial +237 5 74 83 90 7."\nSentence: more'])
    monkeypatch.setattr(source, "say", lambda text, seed: next(said))
    sentence = source.captions(FACTS, 0, np.random.default_rng(0))
    assert sentence == "To speak with Fatime Fossi, dial +237 5 74 83 90 7." and not source.fell_back


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("Dial +237 5 74 83 90 7 for Fatime Fossi", True),
        ("Dial +237 574839 07 for Fatime Fossi", False),
        ("Dial +237 5 74 83 90 7 for fatime fossi", False),
        ("Fatime Fossi, Fatime Fossi: +237 5 74 83 90 7", False),
        ("Dial +237 5 74 83 90 7 for Fatime Fossi" + " now" * 80, False),
    ],
)
def test_name_and_value_survive_word_for_word(sentence: str, kept: bool) -> None:
    assert faithful(sentence, FACTS) is kept


def test_the_prompt_holds_sentence_and_style() -> None:
    assert "Call Fatime" in prompt("Call Fatime", 1) and "an instruction" in prompt("Call Fatime", 1)


def test_options_that_cannot_be_are_sentences() -> None:
    with pytest.raises(UsageError, match="pinned to a commit"):
        ParaphrasedCaptions(Settings(0, 224, {"model": "owner/name"}))
    with pytest.raises(UsageError, match=r"temperature=hot: a number from 0\.01 to 10"):
        ParaphrasedCaptions(Settings(0, 224, {"model": ".", "temperature": "hot"}))
