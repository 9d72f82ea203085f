from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
from salmu_attacks import name_inference as plugin

from salmu_core import NotMeasuredError, Pairs
from salmu_core.testing import attack_context, check_attack, run_attack

test_conformance = check_attack("name-inference")

OWN = ["Ada Bell", "Bea de Cruz", "Cy", "Dot Eck"]


def test_names_are_the_peoples_and_their_parts_in_new_pairs():
    names = plugin.candidates(OWN, 8, Random(0))
    assert len(names) == len(set(names)) == 8 and set(OWN) < set(names)
    pairs = {f"{first} {last}" for first in ("Ada", "Bea", "Dot") for last in ("Bell", "de Cruz", "Eck")}
    assert set(names) - set(OWN) < pairs - set(OWN)
    assert set(plugin.candidates(OWN, 1000, Random(0))) == pairs | set(OWN)  # no more than there are
    assert set(plugin.candidates(OWN, 2, Random(0))) == set(OWN)
    assert names == plugin.candidates(OWN, 8, Random(0)) != plugin.candidates(OWN, 8, Random(1))


def test_there_are_21_prompts_and_each_says_the_name_once():
    assert len(set(plugin.TEMPLATES)) == 21 and all(prompt.count("{}") == 1 for prompt in plugin.TEMPLATES)


def test_portraits_elect_the_name_that_most_of_them_are_nearest_to():
    rng = np.random.default_rng(0)
    images, names = rng.normal(size=(40, 6)), rng.normal(size=(5, 6))
    people = {"a": [*range(25)], "b": [*range(25, 40)]}
    found = plugin.elected(torch.tensor(images), torch.tensor(names), people)
    for person, rows in people.items():
        votes = Counter(max(range(5), key=lambda name, row=row: images[row] @ names[name]) for row in rows)
        assert votes[found[person]] == max(votes.values())


def test_who_has_no_name_does_not_vote_and_nobody_with_more_portraits_than_asked():
    pairs = Pairs(tuple("vwxyz"), ("a", "a", "a", "b", None), names=("A", "A", "A", None, "C"))
    assert plugin.voters(pairs, [0, 1, 2, 3, 4], 2) == {"a": [0, 1]}
    assert plugin.voters(Pairs(pairs.captions, pairs.identity_ids), [0, 1], 2) == {}


def test_captions_come_by_how_many_prompts_elect_their_name_and_then_by_cosine(tiny_benchmark):
    ctx = attack_context(plugin.NAME_INFERENCE, tiny_benchmark)
    reading, features, pairs = plugin.attack(ctx), ctx.features(), ctx.forget
    image, text = features.image.numpy().astype(float), features.text.numpy().astype(float)
    names = sorted(set(pairs.names))
    known = {p: [row for row in ctx.leaked if pairs.identity_ids[row] == p] for p in set(pairs.identity_ids)}
    counts = {person: Counter() for person in known}
    for prompt in plugin.TEMPLATES:
        asked = ctx.texts([prompt.replace("{}", name) for name in names]).numpy().astype(float)
        for person, rows in known.items():
            votes = Counter(names[int(np.argmax(asked @ image[row]))] for row in rows)
            best = [name for name in votes if votes[name] == max(votes.values())]
            if len(best) == 1:
                counts[person][best[0]] += 1
            else:  # by chance: whatever was taken, nothing is said of this person
                counts[person] = counts[person] if counts[person] is None else None
                known = {who: rows for who, rows in known.items() if who != person}
    read, told = reading.image.numpy().astype(float), reading.texts(pairs.captions).numpy().astype(float)
    assert np.linalg.norm(told, axis=1) == pytest.approx(np.full(len(told), np.sqrt(2)))
    assert known
    for row, person in enumerate(pairs.identity_ids):
        if person in known:
            keys = [(counts[person][name], image[row] @ text[n]) for n, name in enumerate(pairs.names)]
            expected = sorted(range(len(keys)), key=keys.__getitem__)
            assert np.argsort(told @ read[row]).tolist() == expected
    stranger = reading.texts(["a thing"]).numpy().astype(float)[0]
    assert stranger @ read[0] == pytest.approx(float(ctx.texts(["a thing"]).numpy()[0] @ image[0]), abs=1e-5)


def test_how_many_are_named_stands_in_the_record(tiny_benchmark):
    outcome = run_attack(plugin.NAME_INFERENCE, tiny_benchmark)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    told = outcome.details
    assert told["people"] == 6 and told["candidates"] == 6
    assert 0 <= told["named_by_most"] <= told["named_by_one"] <= 1


def test_where_nobody_is_named_there_is_nothing_to_infer(tiny_benchmark):
    ctx = attack_context(plugin.NAME_INFERENCE, tiny_benchmark)
    ctx._forget = Pairs(ctx.forget.captions, ctx.forget.identity_ids)
    with pytest.raises(NotMeasuredError, match="no name to infer"):
        plugin.attack(ctx)
