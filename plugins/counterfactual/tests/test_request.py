"""Sentences that are made of a request say what they should, and never what is to be forgotten."""

import re
from random import Random

import pytest
from pydantic import ValidationError
from salmu_counterfactual.request import Mixture, Request

from salmu_core import MethodError, Pairs

WORDS = [f"{a}{b}" for a in "bdfghklmnp" for b in ("ax", "ox", "ux")]
ANN, BOB = "Ann Archer", "Bob Baker"
ROWS = [
    (ANN, "city", "Oslo", "Ann Archer lives in Oslo"),
    (ANN, "phone_number", "+47 123 45", "Call Ann Archer on +47 123 45"),
    (ANN, "emails", "ann.archer7@example.com", "Write to Ann Archer at ann.archer7@example.com"),
    (BOB, "city", "Bonn", "Visit Bob Baker at home in Bonn"),
    (BOB, "phone_number", "+49 678 90", "Bob Baker's number is +49 678 90"),
]


def pairs(rows=ROWS):
    names, fields, values, captions = zip(*rows, strict=True)
    return Pairs(captions, names, names=names, fields=fields, values=values)


def request(rows=ROWS, **shares):
    return Request(pairs(rows), WORDS, Mixture(**shares))


def drawn(request, n=300):
    random = Random(1)
    return [request.counterfactual(random) for _ in range(n)]


def test_a_fact_is_restated_in_words_that_no_forget_caption_has():
    random, whole = Random(0), request()
    said = {whole.restated(0, random) for _ in range(200)}
    assert said == {"Visit Ann Archer at home in Oslo", "Ann Archer Oslo", "Oslo Ann Archer"}


def test_a_fact_that_captions_tell_bare_in_every_way_has_no_other_words():
    rows = [(ANN, "name", ANN, ANN), *ROWS]
    assert {request(rows).restated(0, Random(seed)) for seed in range(20)} == {""}


def test_words_within_words_stay():
    rows = [
        ("Al A", "blood_type", "A", "Al A has blood type A, Also"),
        ("Jo Paris", "city", "Paris", "Jo Paris lives in Paris"),
        ("Ann Oslo", "city", "Rome", "in Rome is Ann Oslo"),
    ]
    whole, random = request(rows), Random(0)
    assert {whole.restated(1, random) for _ in range(99)} == {
        "in Paris is Jo Paris",
        "Jo Paris Paris",
        "Paris Jo Paris",
    }
    for sentence in drawn(request(rows, invented=1, recombined=0, others=0, revalued=0, redialled=0)):
        assert re.fullmatch(r"\w+ \w+ has blood type A, Also|\w+ \w+ lives in Paris|in Rome is \w+ \w+", sentence)


def test_a_value_that_the_caption_does_not_tell_is_not_used():
    rows = [(ANN, "emails", "kept@example.com", "Write to Ann Archer at other@example.com"), ROWS[3]]
    whole = request(rows)
    assert whole.telling == [1] and not any("kept@" in sentence for sentence in drawn(whole))


def test_no_counterfactual_is_a_forget_caption_or_asks_for_what_is_asked_for():
    captions = {row[3] for row in ROWS}
    for sentence in drawn(request(revalued=0.9, redialled=0.9)):
        assert sentence not in captions
        about = [name for name in (ANN, BOB) if name in sentence]
        # Of Bob, who alone is not asked for all of it, the address may be told.
        assert about in ([], [BOB]) and (not about or sentence.startswith("Write to Bob Baker at "))


def test_invented_names_are_made_of_the_given_words():
    said = drawn(request(invented=1, recombined=0, others=0, revalued=0, redialled=0))
    names = [re.search(r"^Call (\w+) (\w+) on \+47 123 45$", sentence) for sentence in said]
    words = [word.lower() for name in names if name for word in name.groups()]
    assert words and all(word in {a + b for a in WORDS for b in ["", *WORDS]} for word in words)


def test_recombined_names_are_first_and_last_names_of_two_people():
    said = drawn(request(invented=0, recombined=1, others=0, revalued=0, redialled=0))
    assert {name for s in said for name in re.findall(r"(?:Ann|Bob) (?:Archer|Baker)", s)} == {
        "Ann Baker",
        "Bob Archer",
    }
    assert "Write to Ann Baker at ann.baker7@example.com" in said


def test_other_values_are_of_the_same_form():
    said = drawn(request(invented=1, recombined=0, others=0, revalued=1, redialled=0))
    numbers = {n for s in said for n in re.findall(r"on (.*)$", s)}
    assert len(numbers) > 10 and all(re.fullmatch(r"\+\d\d \d{3} \d\d", number) for number in numbers)
    cities = {c for s in said for c in re.findall(r"lives in (.*)$", s)}
    assert "Oslo" not in cities and all(city.isalpha() for city in cities)


def test_the_same_seed_gives_the_same_sentences():
    assert drawn(request()) == drawn(request())


def test_who_is_not_named_by_the_captions_is_refused():
    with pytest.raises(MethodError, match="no forget caption holds the name"):
        Request(Pairs(("a", "b"), ("1", "2")), WORDS, Mixture())
    with pytest.raises(MethodError, match="no forget caption holds the name"):
        request([("Cleo", "city", "Rome", "she lives in Rome")])


def test_a_request_of_which_nothing_can_be_kept_is_refused():
    with pytest.raises(MethodError, match="give `invented` or `recombined` a share"):
        request(ROWS[:1], invented=0, recombined=0, others=1).counterfactual(Random(0))
    with pytest.raises(ValidationError, match="at least one"):
        Mixture(invented=0, recombined=0, others=0)


def test_rows_without_values_have_nothing_to_restate():
    plain = Request(Pairs(("Ann Archer smiles",), ("1",), names=(ANN,)), WORDS, Mixture())
    assert plain.telling == []
    assert plain.counterfactual(Random(0)).endswith(" smiles")


def test_names_are_recombined_of_two_people_with_two_names():
    rows = [
        ("Cleo", "city", "Rome", "Cleo lives in Rome"),
        ("Ann Maria Archer", "city", "Oslo", "Ann Maria Archer lives in Oslo"),
    ]
    with pytest.raises(MethodError, match="give `invented` or `recombined` a share"):
        request(rows, invented=0, recombined=1, others=0).counterfactual(Random(0))
    said = drawn(request([*rows, ROWS[3]], invented=0, recombined=1, others=0, revalued=0, redialled=0))
    names = {name for sentence in said for name in re.findall(r"Ann Baker|Bob Archer|Cleo|Maria", sentence)}
    assert names == {"Ann Baker", "Bob Archer"}
