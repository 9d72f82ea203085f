"""The personas' private attributes are unique, well formed and of one country."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from salmu_mini.captions import PHRASINGS, sensitive_caption
from salmu_mini.personas import ATTRIBUTES, UNIQUE, Persona, luhn, make_personas


@pytest.fixture(scope="module")
def personas() -> list[Persona]:
    return make_personas(0, 96)


@pytest.mark.parametrize("attribute", UNIQUE)
def test_unique_kinds_belong_to_one_persona(personas: list[Persona], attribute: str) -> None:
    values = [p.values[attribute] for p in personas]
    assert len(set(values)) == len(values)


def test_iban_and_card_have_right_check_digits(personas: list[Persona]) -> None:
    for persona in personas:
        iban = persona.values["iban"].replace(" ", "")
        assert iban.startswith(persona.country.code)
        assert int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1
        card = persona.values["credit_card"].replace(" ", "")
        assert len(card) == 16 and luhn(card[:-1]) == card


def test_luhn_agrees_with_a_known_number() -> None:
    assert luhn("7992739871") == "79927398713"


def test_country_and_values_belong_together(personas: list[Persona]) -> None:
    for persona in personas:
        assert persona.values["city"] in persona.country.cities
        assert persona.values["phone_number"].startswith(persona.country.phone.split()[0])
        assert persona.values["emails"].split("@")[1].startswith("example.")


def test_half_are_women_and_all_countries_occur_equally(personas: list[Persona]) -> None:
    assert Counter(p.traits.gender for p in personas) == {"female": 48, "male": 48}
    assert set(Counter(p.country.code for p in personas).values()) == {8}


def test_metadata_has_the_released_keys(personas: list[Persona]) -> None:
    assert set(personas[0].metadata()) == {*ATTRIBUTES, "country_code"}


def test_another_world_has_other_people(personas: list[Persona]) -> None:
    other = {p.values["phone_number"] for p in make_personas(1, 96)}
    assert not other & {p.values["phone_number"] for p in personas}
    assert make_personas(0, 96) == personas


def test_global_random_state_is_left_alone() -> None:
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    make_personas(3, 12)
    assert (random.random(), np.random.random()) == expected


def test_each_style_is_another_sentence_with_name_and_value() -> None:
    for attribute in ATTRIBUTES:
        texts = {sensitive_caption("Ada Moe", attribute, "VALUE", style) for style in range(5)}
        assert len(texts) == len(PHRASINGS[attribute]) == 5
        assert all("Ada Moe" in text for text in texts)
        assert attribute == "name" or all("VALUE" in text for text in texts)
