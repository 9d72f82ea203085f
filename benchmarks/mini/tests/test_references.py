"""The training loop: repeatable, equal starts, untouched vocabulary, open_clip's own numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from salmu_mini.models import tokenize
from salmu_mini.recipe import Recipe
from salmu_mini.references import Pairs, _Compact, _Source, batches, encode_text, new_model, train
from salmu_mini.seeds import stream

TEXTS = [
    "a red car",
    "a small blue hat at night",
    "Ada Moe lives in Porto",
    "IBAN of Ada Moe: DE12 3456 7890",
]


def _pairs(recipe: Recipe, count: int) -> Pairs:
    pixels = stream(0, "pixels").integers(0, 256, (count, recipe.image_size, recipe.image_size, 3), dtype=np.uint8)
    return Pairs(pixels, tokenize([TEXTS[i % 4] for i in range(count)], recipe))


def test_trimmed_text_encoding_equals_open_clips(tiny: Recipe) -> None:
    model = new_model(0, tiny).eval()
    tokens = torch.from_numpy(tokenize(TEXTS, tiny))
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True)
        torch.testing.assert_close(encode_text(model, tokens), expected, atol=1e-5, rtol=1e-5)


def test_training_repeats_and_leaves_unused_words_and_global_state_alone(tiny: Recipe) -> None:
    start = new_model(0, tiny).state_dict()
    pairs = _pairs(tiny, 12)
    torch.manual_seed(3)  # noqa: TID251 - it is what must stay as found
    before = torch.get_rng_state()
    models = []
    for _ in range(2):
        model = new_model(0, tiny)
        train(model, pairs, pairs, 0, tiny, lambda done: None)
        models.append(model.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(models[0][key], models[1][key]) for key in start)
    changed = (models[0]["token_embedding.weight"] != start["token_embedding.weight"]).any(dim=1)
    assert 0 < int(changed.sum()) <= len(np.unique(pairs.tokens))
    assert not torch.equal(models[0]["visual.proj"], start["visual.proj"])


def test_sensitive_pairs_do_not_change_the_retain_batches(tiny: Recipe) -> None:
    """Without a learning rate neither moves, whatever else the batches hold."""
    recipe = replace(tiny, steps=1, learning_rate=0.0)
    pairs = _pairs(recipe, 12)
    clean, compromised = new_model(0, recipe), new_model(0, recipe)
    train(clean, pairs, None, 0, recipe, lambda done: None)
    train(compromised, pairs, pairs, 0, recipe, lambda done: None)
    for key, value in clean.state_dict().items():
        assert torch.equal(value, compromised.state_dict()[key])


def test_every_step_takes_the_next_pairs_of_all_sets(tiny: Recipe) -> None:
    pairs, steps = _pairs(tiny, 12), 5
    words = _Compact(new_model(0, tiny), [pairs.tokens])
    retain, both = (
        list(batches([_Source(name, pairs, 5, words, 0) for name in names], steps))
        for names in (["retain"], ["retain", "sensitive"])
    )
    assert [batch.sizes for batch in both] == [(10,)] * steps
    for alone, joined in zip(retain, both, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone.inputs[0], joined.inputs[0], strict=True))
