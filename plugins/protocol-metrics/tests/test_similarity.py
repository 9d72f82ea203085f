from __future__ import annotations

import math

import numpy as np
import pytest

from salmu_core import MetricError

SPLITS = {
    "AssocStr": "forget",
    "InterIdSim": "holdout_identity",
    "IntraIdSim": "holdout_association",
    "VisIdInt": "retain_joint",
    "FragSim": "fragile_set",
}


def dot(a, b):
    return math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", SPLITS)
def test_mean_cosine(name, world, split, units, rng, compute):
    captions = [f"c{i % 700}" for i in range(1100)]
    made = world({SPLITS[name]: split(units(rng.normal(size=(1100, 24))), captions)})
    made.say(rng, captions, 24)
    result = compute(name, made)
    expected = [dot(i, made.text[c]) for i, c in zip(made.splits[SPLITS[name]].image, captions, strict=True)]
    np.testing.assert_allclose(result.per_row.values, expected, rtol=0, atol=1e-15)
    assert result.per_row.values.mean() == pytest.approx(math.fsum(expected) / 1100, abs=1e-15)
    assert result.per_row.split == SPLITS[name]
    assert result.per_row.index is None


def test_cosine_of_a_row_does_not_depend_on_its_place(world, split, units, rng, compute):
    captions = [f"c{i}" for i in range(1100)]
    made = world({"forget": split(units(rng.normal(size=(1100, 512))), captions)})
    made.say(rng, captions, 512)
    whole = compute("AssocStr", made).per_row.values
    made.splits["forget"] = split(made.splits["forget"].image[777:779], captions[777:779])
    np.testing.assert_array_equal(compute("AssocStr", made).per_row.values, whole[777:779])


def people(world, split, units, rng, identities, facts, ids):
    captions = [f"caption {i}" for i in range(len(facts))]
    rows = split(units(rng.normal(size=(len(facts), 16))), captions, ids, facts)
    return world({"forget": rows}, identities=identities)


def test_core_association_is_the_better_of_both_orders(world, split, units, rng, compute):
    identities = {
        "0": {"name": "Ann Bee", "city": "Ulm", "emails": ["a@b.example", "b@b.example"]},
        "1": {"name": "Cem Dal", "phone_number": "+1 23"},
    }
    facts = [
        {"data_field": "city"},
        {"data_field": "emails"},
        {"data_field": "name"},
        {"data_field": "phone_number"},
        {"data_field": "iban", "value": "XX 99"},
    ]
    made = people(world, split, units, rng, identities, facts, ["0", "0", "0", "1", "1"])
    texts = [
        ("Ann Bee Ulm", "Ulm Ann Bee"),
        ("Ann Bee a@b.example", "a@b.example Ann Bee"),
        ("Ann Bee Ann Bee", "Ann Bee Ann Bee"),
        ("Cem Dal +1 23", "+1 23 Cem Dal"),
        ("Cem Dal XX 99", "XX 99 Cem Dal"),
    ]
    made.say(rng, [t for pair in texts for t in pair], 16)
    result = compute("CoreAssoc", made)
    images = made.splits["forget"].image
    expected = [max(dot(i, made.text[t]) for t in pair) for i, pair in zip(images, texts, strict=True)]
    np.testing.assert_allclose(result.per_row.values, expected, rtol=0, atol=1e-15)
    assert result.details == {"texts": 9}


def test_an_association_without_a_value_is_an_error(world, split, units, rng, compute):
    made = people(world, split, units, rng, {"0": {"name": "Ann", "emails": []}}, [{"data_field": "emails"}], ["0"])
    with pytest.raises(ValueError, match="'emails' of 'Ann'"):
        compute("CoreAssoc", made)


def test_what_is_not_declared_is_not_read(world, split, units, rng, specs, compute):
    from salmu_core.score.context import ScoreContext

    made = world({"forget": split(units(rng.normal(size=(2, 4))), ["a", "b"])})
    with pytest.raises(MetricError, match="without declaring"):
        specs["AssocStr"].compute(ScoreContext(made, ("holdout_identity",), "AssocStr"))
