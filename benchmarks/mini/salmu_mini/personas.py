"""Fictitious people: who they are, what they look like and nine private attributes each."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from faker import Faker

from salmu_mini.countries import BLOOD_TYPES, COUNTRIES, EMAIL_DOMAINS, JOBS, Country
from salmu_mini.faces import Traits, sample_traits
from salmu_mini.seeds import seed_of, stream

#: The attributes of the benchmark, in the order of its metadata.
ATTRIBUTES: Final = (
    "name",
    "city",
    "job",
    "blood_type",
    "phone_number",
    "emails",
    "iban",
    "credit_card",
    "passport",
)
#: Attributes whose value belongs to one persona only.
UNIQUE: Final = ("name", "phone_number", "emails", "iban", "credit_card", "passport")


@dataclass(frozen=True)
class Persona:
    """One fictitious identity."""

    identity_id: str
    country: Country
    traits: Traits
    values: dict[str, str]

    def metadata(self) -> dict[str, str]:
        """The entry of `identities_metadata.json`."""
        rest = {key: self.values[key] for key in ATTRIBUTES if key not in ("name", "city")}
        return {
            "name": self.values["name"],
            "city": self.values["city"],
            "country_code": self.country.code,
            **rest,
        }


def luhn(payload: str) -> str:
    """`payload` (digits) with its Luhn check digit, as on a bank card."""
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(payload))]
    return payload + str(-sum(v - 9 if v > 9 else v for v in doubled) % 10)


#: Letters that Unicode does not take apart into a letter and an accent.
_UNDECOMPOSED: Final = str.maketrans("øłıæßđ", "olia" + "sd")


def ascii_letters(text: str) -> str:
    """`text` without accents and without anything but a-z."""
    plain = text.lower().translate(_UNDECOMPOSED)
    return "".join(c for c in unicodedata.normalize("NFKD", plain) if "a" <= c <= "z")


def fill(pattern: str, rng: np.random.Generator) -> str:
    """`#` -> digit, `%` -> digit 1-9, `?` -> capital letter; the rest stays."""
    draw: dict[str, Callable[[], str]] = {
        "#": lambda: str(rng.integers(10)),
        "%": lambda: str(rng.integers(1, 10)),
        "?": lambda: "ABCDEFGHJKLMNPRSTUVWXYZ"[int(rng.integers(23))],
    }
    return "".join(draw[c]() if c in draw else c for c in pattern)


def _grouped(text: str) -> str:
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def _speakers(world: int) -> dict[str, Faker]:
    """A Faker per locale with a random state of its own (Faker's is shared by default)."""
    speakers = {}
    for number, country in enumerate(COUNTRIES):
        speaker = Faker(country.locale)
        speaker.random = random.Random(seed_of(world, "faker", number))
        speakers[country.locale] = speaker
    return speakers


class _Inventor:
    """Draws attribute values; those of a unique kind never twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, draw: Callable[[], str]) -> str:
        """The first value of `draw` that nobody has."""
        for _ in range(10_000):
            value = draw()
            if value not in self._taken:
                self._taken.add(value)
                return value
        raise RuntimeError("no unused value left for a unique attribute; ask for fewer personas")

    def name(self, speaker: Faker, female: bool) -> str:
        """First and last name, whole name unused; the first name too, while the locale has unused ones."""
        first_name = speaker.first_name_female if female else speaker.first_name_male
        last_name = speaker.last_name_female if female else speaker.last_name_male
        first = str(first_name())
        for _ in range(200):
            if f"first {first}" not in self._taken:
                break
            first = str(first_name())
        self._taken.add(f"first {first}")
        return self.fresh(lambda: f"{first} {last_name()}")

    def values(self, name: str, country: Country, speaker: Faker, rng: np.random.Generator) -> dict[str, str]:
        """All nine attributes of somebody with that name in that country."""
        user = ascii_letters(name.split()[0])[:1] + ascii_letters(name.split()[-1])
        domain = _pick(EMAIL_DOMAINS, rng)
        return {
            "name": name,
            "city": _pick(country.cities, rng),
            "job": _pick(JOBS, rng),
            "blood_type": _pick(BLOOD_TYPES, rng),
            "phone_number": self.fresh(lambda: fill(country.phone, rng)),
            "emails": self.fresh(lambda: f"{user}{int(rng.integers(10, 100))}@{domain}"),
            "iban": self.fresh(lambda: _grouped(str(speaker.iban()))),
            "credit_card": self.fresh(lambda: _grouped(luhn(fill("4##############", rng)))),
            "passport": self.fresh(lambda: fill(country.passport, rng)),
        }


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def make_personas(world: int, count: int) -> list[Persona]:
    """`count` personas, half of them women, spread evenly over the countries; unique kinds are unique.

    A longer list of the same world begins with the shorter one.
    """
    speakers = _speakers(world)
    inventor = _Inventor()
    offset = int(stream(world, "countries").integers(len(COUNTRIES)))
    personas = []
    for number in range(count):
        country = COUNTRIES[(number + offset) % len(COUNTRIES)]
        speaker = speakers[country.locale]
        gender = "female" if (number // len(COUNTRIES)) % 2 == 0 else "male"
        name = inventor.name(speaker, gender == "female")
        values = inventor.values(name, country, speaker, stream(world, "persona", number))
        traits = sample_traits(stream(world, "face", number), gender)
        personas.append(Persona(f"{number:08d}", country, traits, values))
    return personas
