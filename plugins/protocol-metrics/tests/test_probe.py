from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from salmu_protocol_metrics.probe import derangement


def source():
    return np.random.PCG64(42)


@pytest.fixture
def forget(world, split, units, rng):
    def build(image, text, captions=None):
        captions = captions or [f"c{i}" for i in range(len(image))]
        made = world({"forget": split(units(image), captions)})
        for caption, vector in zip(captions, units(text), strict=True):
            made.text[caption] = vector
        return made

    return build


def test_noise_is_at_chance(forget, rng, compute):
    made = forget(rng.normal(size=(6000, 16)), rng.normal(size=(6000, 16)))
    assert compute("ACS", made).per_row.values.mean() == pytest.approx(0.5, abs=0.02)


def test_separable_pairs_are_told_apart(forget, rng, compute):
    image = rng.normal(size=(600, 64))
    assert compute("ACS", forget(image, image + 0.1 * rng.normal(size=(600, 64)))).per_row.values.mean() == 1


def test_equal_embeddings_are_at_chance(forget, compute):
    assert compute("ACS", forget(np.ones((20, 4)), np.ones((20, 4)))).per_row.values.mean() == 0.5


def fitted(x, y):
    """The one-dimensional probe by gradient descent: slope and intercept on the standardised feature."""
    w = b = 0.0
    for _ in range(20000):
        error = 1 / (1 + np.exp(-(w * x + b))) - y
        w, b = w - 0.5 * ((error * x).mean() + w / len(x)), b - 0.5 * error.mean()
    return w, b


def test_accuracy_is_that_of_a_probe_by_hand(forget, rng, compute):
    image = rng.normal(size=(400, 16))
    made = forget(image, image + 3 * rng.normal(size=(400, 16)))
    result = compute("ACS", made)
    captions = made.splits["forget"].captions
    stream = source()
    shuffled = derangement(captions, stream)
    keys = [stream.random_raw() for _ in range(400)]
    order = sorted(range(400), key=lambda i: keys[i])
    train, held_out = order[:200], sorted(order[200:])

    def cosine(i, j):
        return float(made.splits["forget"].image[i].astype(np.float64) @ made.text[captions[j]])

    x = np.array([cosine(i, j) for i in train for j in (i, shuffled[i])])
    y = np.array([1, 0] * 200)
    w, b = fitted((x - x.mean()) / x.std(), y)
    scores = [[w * (cosine(i, j) - x.mean()) / x.std() + b for j in (i, shuffled[i])] for i in held_out]
    expected = [(int(true > 0) + int(false <= 0)) / 2 for true, false in scores]
    np.testing.assert_array_equal(result.per_row.values, expected)
    np.testing.assert_array_equal(result.per_row.index, held_out)
    assert result.per_row.values.mean() == np.mean(expected)
    assert 0.55 < result.per_row.values.mean() < 0.95
    assert result.details == {"train_rows": 200, "held_out_rows": 200, "seed": 42}


@pytest.mark.parametrize(
    "captions",
    [
        list("ab"),
        list("aabb"),
        list("aaabcd"),
        list("abcabcabd"),
        [f"c{i % 70}" for i in range(501)],
        [f"c{i}" for i in range(1000)],
    ],
)
def test_no_row_keeps_its_text(captions):
    permutation = derangement(captions, source())
    assert sorted(permutation) == list(range(len(captions)))
    assert all(captions[j] != captions[i] for i, j in enumerate(permutation))
    assert Counter(captions[j] for j in permutation) == Counter(captions)


def test_the_shuffle_favours_no_row():
    # Over many draws, every other row's caption comes to row 0 about equally often.
    counts = Counter(int(derangement(list("abcdef"), np.random.PCG64(s))[0]) for s in range(3000))
    assert set(counts) == {1, 2, 3, 4, 5}
    assert all(abs(n - 600) < 100 for n in counts.values())


def test_a_text_on_most_rows_cannot_be_shuffled(forget, compute):
    with pytest.raises(ValueError, match="more than half"):
        compute("ACS", forget(np.eye(3), np.ones((3, 3)), ["a", "a", "b"]))
