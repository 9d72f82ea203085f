"""Sentences that are made of a request say what they should, and never what is to be forgotten."""

import re
from random import Random

import pytest
from pydantic import ValidationError
from salmu_counterfactual.request import Mixture, Request

from salmu_core import MethodError, Pairs

WORDS = [f"{a}{b}" for a in "BDFGHKLMNP" for b in ("ax", "ox", "ux")]
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
    shares = {"misdialled": 0} | shares
    return Request(pairs(rows), WORDS, Mixture(**shares))


def drawn(request, n=300):
    random = Random(1)
    return [request.counterfactual(random) for _ in range(n)]


def test_a_fact_is_restated_in_words_that_no_forget_caption_has():
    random, whole = Random(0), request()
    said = {tuple(whole.in_other_words(0, random, ("Cleo Cole", "Rome"))) for _ in range(200)}
    assert said == {
        ("Visit Ann Archer at home in Oslo", "Visit Cleo Cole at home in Rome"),
        ("Ann Archer Oslo", "Cleo Cole Rome"),
        ("Oslo Ann Archer", "Rome Cleo Cole"),
    }


def test_a_fact_that_captions_tell_bare_in_every_way_has_no_other_words():
    rows = [(ANN, "name", ANN, ANN), *ROWS]
    assert not any(request(rows).in_other_words(0, Random(seed)) for seed in range(20))


def test_a_fact_is_restated_with_other_digits():
    whole = request(misdialled=1)
    said = {whole.in_other_words(1, Random(seed))[0] for seed in range(99)}
    numbers = {number for sentence in said for number in re.findall(r"\+[\d ]*\d", sentence)}
    assert len(numbers) > 20 and all(re.fullmatch(r"\+\d\d \d{3} \d\d", number) for number in numbers)
    assert any(sentence.startswith("Call Ann Archer on +") for sentence in said)
    assert ROWS[1][3] not in said


def test_a_person_has_one_stranger_or_another_one_for_each_fact():
    rows = [
        *ROWS,
        (ANN, "phone_number", "+47 123 45", "+47 123 45 is where to reach Ann Archer"),
        ("Cleo", "city", "Rome", "she"),
    ]
    one = request(rows, stranger_for="person").strangers(Random(0))
    assert len({name for name, _ in one.values()}) == 2 and one[0][0] == one[1][0] != one[3][0]
    whole = request(rows, stranger_for="fact")
    strangers = whole.strangers(Random(0))
    assert sorted(strangers) == whole.named == [0, 1, 2, 3, 4, 5]
    assert strangers[1] == strangers[5] and len(set(strangers.values())) == 5
    for row, (name, value) in strangers.items():
        assert set(name.split()) <= set(WORDS)
        said = whole.about(row, (name, value))
        assert said == rows[row][3].replace(rows[row][0], name).replace(rows[row][2], value)
    assert [strangers[row][1] for row in (0, 3)] == ["Oslo", "Bonn"]  # no digits: what else is known of everybody
    assert re.fullmatch(r"\+\d\d \d{3} \d\d", strangers[1][1]) and strangers[1][1] != "+47 123 45"
    first, last = strangers[2][0].lower().split()
    assert re.fullmatch(rf"{first}\.{last}\d@example\.com", strangers[2][1])
    assert strangers == whole.strangers(Random(0))


def test_words_within_words_stay():
    rows = [
        ("Al A", "blood_type", "A", "Al A has blood type A, Also"),
        ("Jo Paris", "city", "Paris", "Jo Paris lives in Paris"),
        ("Ann Oslo", "city", "Rome", "in Rome is Ann Oslo"),
    ]
    whole, random = request(rows), Random(0)
    assert {sentence for _ in range(99) for sentence in whole.in_other_words(1, random)} == {
        "in Paris is Jo Paris",
        "Jo Paris Paris",
        "Paris Jo Paris",
    }
    for sentence in drawn(request(rows, invented=1, namesakes=0, others=0, revalued=0, redialled=0)):
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


def test_capitals_and_blanks_make_no_other_caption():
    rows = [
        (ANN, "city", "Oslo", "OSLO  Ann Archer is in Oslo"),
        (BOB, "city", "Bonn", "bob baker bonn"),
        (BOB, "city", "Bonn", "bonn bob baker"),
        (BOB, "city", "Bonn", "In Bonn is Bob Baker"),
    ]
    said = {tuple(request(rows).in_other_words(3, Random(seed))) for seed in range(50)}
    assert said == {(), ("OSLO Bob Baker is in Bonn",)} or said == {(), ("OSLO  Bob Baker is in Bonn",)}


def test_of_whom_a_fact_is_asked_for_in_other_letters_it_is_not_kept():
    rows = [ROWS[0], (ANN, "job", "vet", "ann archer is a vet"), (BOB, "job", "vet", "Bob Baker is a vet")]
    said = drawn(request(rows, invented=0, namesakes=0, others=1))
    assert said and not any("Ann" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("name", "address", "new"),
    [
        ("José Núñez", "jose.nunez7@example.com", "bax.dox7@example.com"),
        (ANN, "Ann.Archer7@example.com", "bax.dox7@example.com"),
        (ANN, "a_archer7@example.com", "a_dox7@example.com"),
        (ANN, "sunny-days7@example.com", "bax.dox7@example.com"),
        (ANN, "123@example.com", "123@example.com"),
    ],
)
def test_an_address_follows_the_name(name, address, new):
    whole = request([(name, "emails", address, f"Write to {name} at {address}"), *ROWS])
    assert whole.about(0, ("Bax Dox", whole._told_of(0, "Bax Dox"))) == f"Write to Bax Dox at {new}"


def test_a_name_within_a_value_is_the_strangers():
    rows = [(ANN, "bio", "Ann Archer the painter", "I met Ann Archer the painter"), *ROWS]
    whole = request(rows)
    (name, value) = whole.strangers(Random(0))[0]
    assert whole.about(0, (name, value)) == f"I met {name} the painter" and name != ANN


def test_invented_names_are_made_of_the_given_words():
    said = drawn(request(invented=1, namesakes=0, others=0, revalued=0, redialled=0))
    names = [re.search(r"^Call (\w+) (\w+) on \+47 123 45$", sentence) for sentence in said]
    words = {word for name in names if name for word in name.groups()}
    assert words and words <= set(WORDS)


def test_namesakes_share_a_first_or_a_last_name():
    said = drawn(request(invented=0, namesakes=1, others=0, revalued=0, redialled=0))
    names = {name for s in said for name in re.findall(r"Call (.*) on|Visit (.*) at home", s)}
    parts = [name.split() for pair in names for name in pair if name]
    assert all((first in ("Ann", "Bob")) != (last in ("Archer", "Baker")) for first, last in parts)
    assert all(({first, last} & set(WORDS)) for first, last in parts)
    assert {word for name in parts for word in name} > {"Ann", "Bob", "Archer", "Baker"}
    assert any(re.fullmatch(r"Write to Ann (\w+) at ann\.\w+7@example\.com", s) for s in said)


def test_other_values_are_of_the_same_form():
    said = drawn(request(invented=1, namesakes=0, others=0, revalued=1, redialled=0))
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
    with pytest.raises(MethodError, match="give `invented` or `namesakes` a share"):
        request(ROWS[:1], invented=0, namesakes=0, others=1).counterfactual(Random(0))
    with pytest.raises(ValidationError, match="at least one"):
        Mixture(invented=0, namesakes=0, others=0)


def test_rows_without_values_have_nothing_to_restate():
    plain = Request(Pairs(("Ann Archer smiles",), ("1",), names=(ANN,)), WORDS, Mixture())
    assert plain.telling == []
    assert plain.counterfactual(Random(0)).endswith(" smiles")


def test_who_has_one_name_alone_has_no_namesakes():
    cleo, ann = (
        ("Cleo", "city", "Rome", "Cleo lives in Rome"),
        ("Ann Maria Archer", "city", "Oslo", "Is Ann Maria Archer in Oslo"),
    )
    shares = {"invented": 0, "namesakes": 1, "others": 0, "revalued": 0, "redialled": 0}
    with pytest.raises(MethodError, match="give `invented` or `namesakes` a share"):
        request([cleo], **shares).counterfactual(Random(0))
    said = drawn(request([cleo, ann], **shares))
    assert said and all(("Ann" in sentence) != ("Archer" in sentence) and "Maria" not in sentence for sentence in said)
