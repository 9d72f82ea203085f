from __future__ import annotations

import numpy as np
import pytest

from salmu_core import ZeroShot


def share(image, classes, label):
    """1/k if the label is among the k best classes, by plain loops; equal vectors are equal."""
    scores = [float((image.astype(np.float64) * c).sum()) for c in classes]
    top = [
        c for c, s in enumerate(scores) if s == max(scores) or np.array_equal(classes[c], classes[np.argmax(scores)])
    ]
    return (label in top) / len(top)


@pytest.fixture
def faces(world, split, units, rng):
    """Pictures of people of given names."""

    def build(names, rows, d=12):
        ids = [str(i % len(names)) for i in range(rows)]
        pictures = split(units(rng.normal(size=(rows, d))), [f"c{i}" for i in range(rows)], ids)
        identities = {str(i): {"name": name} for i, name in enumerate(names)}
        made = world({"forget_identity": pictures}, identities=identities)
        made.say(rng, [f"a photo of {name}" for name in names], d)
        return made

    return build


def test_naming_people(faces, compute):
    names = ["Zoe A", "Bob B", "Cem C", "Dan D", "Eva E"]
    made = faces(names, 1200)
    result = compute("IdZSC", made)
    classes = [made.text[f"a photo of {name}"].astype(np.float64) for name in names]
    expected = [share(i, classes, r % 5) for r, i in enumerate(made.splits["forget_identity"].image)]
    np.testing.assert_array_equal(result.per_row.values, expected)
    assert result.per_row.values.mean() == np.mean(expected)
    assert 0.1 < result.per_row.values.mean() < 0.3
    assert result.per_row.split == "forget_identity"
    assert result.details == {"classes": 5, "prompt": "a photo of {name}"}


def test_people_of_one_name_are_one_class(faces, compute):
    made = faces(["Ann", "Bob", "Ann"], 6)
    made.splits["forget_identity"].image[:] = made.text["a photo of Ann"]
    result = compute("IdZSC", made)
    assert result.details["classes"] == 2
    np.testing.assert_array_equal(result.per_row.values, [1, 0, 1, 1, 0, 1])


def test_names_that_embed_equally_share_the_hit(faces, compute):
    made = faces([f"N{i}" for i in range(19)], 19, d=37)
    one = made.text["a photo of N0"]
    made.text |= dict.fromkeys(made.text, one)
    np.testing.assert_array_equal(compute("IdZSC", made).per_row.values, np.full(19, 1 / 19))


def test_exact_ties_of_different_vectors_share_the_hit(faces, compute):
    made = faces(["A", "B", "C"], 3, d=4)
    half = np.float32(0.5)
    made.text |= {
        "a photo of A": half * np.array([1, 1, 1, -1], dtype=np.float32),
        "a photo of B": half * np.array([-1, 1, 1, 1], dtype=np.float32),
        "a photo of C": half * np.array([-1, -1, 1, 1], dtype=np.float32),
    }
    made.splits["forget_identity"].image[:] = half
    np.testing.assert_array_equal(compute("IdZSC", made).per_row.values, [0.5, 0.5, 0])


def pictures(world, split, units, rng, names, templates, rows, d=12):
    labels = rng.integers(0, len(names), rows)
    keys = tuple(f"s{i}" for i in range(rows))
    zero = ZeroShot(tuple(names), tuple(templates), labels, keys, ())
    made = world({"zeroshot": split(units(rng.normal(size=(rows, d))), keys)}, zero=zero)
    made.say(rng, [t.replace("{c}", n) for n in names for t in templates], d)
    return made


def test_general_knowledge_averages_templates(world, split, units, rng, compute):
    names, templates = ["cat", "dog {x}", "cow", "hen"], ["a {c}.", "one {c}, {c}!", "{c}"]
    made = pictures(world, split, units, rng, names, templates, 1100)
    result = compute("GenKnow", made)
    classes = []
    for name in names:
        mean = np.mean([made.text[t.replace("{c}", name)].astype(np.float64) for t in templates], axis=0)
        classes.append(mean / np.sqrt((mean**2).sum()))
    images, labels = made.splits["zeroshot"].image, made.zero.labels
    expected = [share(i, classes, label) for i, label in zip(images, labels, strict=True)]
    np.testing.assert_array_equal(result.per_row.values, expected)
    assert set(expected) == {0, 1}
    assert result.per_row.values.mean() == np.mean(expected)
    assert result.per_row.split == "zeroshot"
    assert result.details == {"classes": 4, "templates": 3}


def test_classes_of_one_name_share_the_hit(world, split, units, rng, compute):
    made = pictures(world, split, units, rng, ["crane", "x", "crane"], ["a {c}", "b {c}", "c {c}"], 60)
    values = compute("GenKnow", made).per_row.values
    assert set(values[made.zero.labels != 1]) == {0, 0.5}


def test_prompts_that_cancel_out_are_an_error(world, split, units, rng, compute):
    made = pictures(world, split, units, rng, ["a", "b"], ["{c}", "not {c}"], 4)
    made.text["not a"] = -made.text["a"]
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="cancel"):
        compute("GenKnow", made)
