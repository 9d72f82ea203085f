"""What the models are fed: pictures that are moved, in an order that is each set's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from salmu_mini.recipe import Recipe
from salmu_mini.references import Augmented, Pairs, augment, feeds, tokenize
from salmu_mini.seeds import stream

from salmu_core import train_reference

TEXTS = [
    "a red car",
    "a small blue hat at night",
    "Ada Moe lives in Porto",
    "IBAN of Ada Moe: DE12 3456 7890",
]


def _pairs(recipe: Recipe, count: int) -> Pairs:
    pixels = stream(0, "pixels").integers(0, 256, (count, recipe.image_size, recipe.image_size, 3), dtype=np.uint8)
    return Pairs(pixels, tokenize([TEXTS[i % 4] for i in range(count)], recipe))


def test_sensitive_pairs_do_not_change_the_retain_batches(tiny: Recipe) -> None:
    pairs = _pairs(tiny, 12)
    (alone,), (joined, sensitive) = feeds(pairs, None, 0, tiny), feeds(pairs, pairs, 0, tiny)
    for step in range(5):
        batches = [feed.draw(step) for feed in (alone, joined, sensitive)]
        assert all(torch.equal(a, b) for a, b in zip(batches[0], batches[1], strict=True))
        assert not torch.equal(batches[0][0], batches[2][0])


def test_every_pair_is_drawn_before_one_is_drawn_again(tiny: Recipe) -> None:
    feed = Augmented("retain", _pairs(tiny, 12), 5, 0)
    rows = torch.cat([feed.draw(step)[1] for step in range(12)])
    assert rows[:12].unique().numel() == 12 and torch.equal(rows.bincount(), torch.full((12,), 5))


def test_pictures_are_moved_and_mirrored_and_keep_their_colours() -> None:
    picture = np.full((1, 8, 8, 3), 7, dtype=np.uint8)
    picture[0, 3, 3] = 200
    moved = augment(picture.repeat(64, axis=0), stream(0, "moves"))
    assert moved.shape == (64, 8, 8, 3) and set(np.unique(moved)) == {7, 200}
    places = {tuple(np.argwhere(image[..., 0] == 200)[0]) for image in moved}
    assert len(places) > 16


def test_training_a_model_repeats(tiny: Recipe, tmp_path: Path) -> None:
    pairs, config = _pairs(tiny, 12), tiny.pair_config(0)
    for name in ("one", "two"):
        train_reference(tmp_path / name, feeds(pairs, pairs, 0, tiny), config, lambda done: None)
    first, second = (tmp_path.joinpath(name, "open_clip_model.safetensors").read_bytes() for name in ("one", "two"))
    assert first == second
