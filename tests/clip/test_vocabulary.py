"""The vocabulary of a model is its tokenizer's."""

import open_clip

from salmu_core.clip.model import assemble, plain_tokenizer
from salmu_core.testing.tiny import tiny_config, tiny_model


def test_the_vocabulary_is_the_tokenizers():
    config = tiny_config()
    vocabulary, tokenizer = (
        assemble("", tiny_model(), config, plain_tokenizer(config)).vocabulary(),
        open_clip.tokenizer.SimpleTokenizer(),
    )
    begin, *ids, end = (int(i) for i in tokenizer("A photograph of Kierkegaard")[0] if i)
    assert (vocabulary[begin], vocabulary[end]) == ("<start_of_text>", "<end_of_text>")
    assert "".join(vocabulary[i] for i in ids).replace("</w>", " ") == "a photograph of kierkegaard "
