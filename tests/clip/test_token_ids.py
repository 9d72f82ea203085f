"""Token ids are open_clip's own, whether a text came before or not."""

import open_clip
import torch
from clip_models import CAPTIONS

from salmu_core.clip import model as subject
from salmu_core.clip.model import assemble, plain_tokenizer
from salmu_core.testing.tiny import tiny_config, tiny_model


def clip(**text):
    config = tiny_config()
    config["model_cfg"]["text_cfg"].update(text)
    return assemble("", tiny_model(), config, plain_tokenizer(config))


def test_texts_that_come_again_have_the_ids_they_had(monkeypatch):
    monkeypatch.setattr(subject, "REMEMBERED", len(CAPTIONS) + 1)
    model, texts = clip(), [*CAPTIONS, *CAPTIONS[::-1]]
    expected = open_clip.tokenizer.SimpleTokenizer(context_length=tiny_model().context_length)
    for more in ([], ["a text more"], ["and", "two"], []):  # which is more than is remembered
        assert torch.equal(model.tokenize([*texts, *more]), expected([*texts, *more]))
    ids = model.tokenize(texts)
    ids.zero_()
    assert torch.equal(model.tokenize(texts), expected(texts))
    assert model.tokenize([]).shape == (0, tiny_model().context_length)


def test_a_tokenizer_that_drops_words_at_random_is_asked_each_time():
    model, text = clip(tokenizer_kwargs={"reduction_mask": "random"}), " ".join("abcdefghijklmnopqrstuvwxyz" * 3)
    assert len({tuple(model.tokenize([text])[0].tolist()) for _ in range(8)}) > 1


def test_the_vocabulary_is_the_tokenizers():
    vocabulary, tokenizer = clip().vocabulary(), open_clip.tokenizer.SimpleTokenizer()
    begin, *ids, end = (int(i) for i in tokenizer("A photograph of Kierkegaard")[0] if i)
    assert (vocabulary[begin], vocabulary[end]) == ("<start_of_text>", "<end_of_text>")
    assert "".join(vocabulary[i] for i in ids).replace("</w>", " ") == "a photograph of kierkegaard "
