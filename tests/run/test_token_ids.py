"""Token ids are open_clip's own, whether a text came before or not."""

import open_clip
import torch
from clip_models import CAPTIONS

from salmu_core.clip.model import assemble, plain_tokenizer
from salmu_core.run import texts as subject
from salmu_core.testing.tiny import tiny_config, tiny_model


def ids(**text):
    config = tiny_config()
    config["model_cfg"]["text_cfg"].update(text)
    return subject.TokenIds(assemble("", tiny_model(), config, plain_tokenizer(config)))


def test_texts_that_come_again_have_the_ids_they_had(monkeypatch):
    monkeypatch.setattr(subject, "REMEMBERED", len(CAPTIONS) + 1)
    token_ids, texts = ids(), [*CAPTIONS, *CAPTIONS[::-1]]
    expected = open_clip.tokenizer.SimpleTokenizer(context_length=tiny_model().context_length)
    for more in ([], ["a text more"], ["and", "two"], []):  # which is more than is remembered
        assert torch.equal(token_ids.of([*texts, *more]), expected([*texts, *more]))
    token_ids.of(texts).zero_()
    assert torch.equal(token_ids.of(texts), expected(texts))


def test_a_tokenizer_that_drops_words_at_random_is_asked_each_time():
    token_ids, text = ids(tokenizer_kwargs={"reduction_mask": "random"}), " ".join("abcdefghijklmnopqrstuvwxyz" * 3)
    assert len({tuple(token_ids.of([text])[0].tolist()) for _ in range(8)}) > 1
