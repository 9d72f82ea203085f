"""Phone numbers and bank codes that belong to nobody."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Final

import phonenumbers
from schwifty import IBAN, registry
from schwifty.domain import Component
from schwifty.exceptions import SchwiftyException

from salmu_core import BenchmarkError

#: National numbers that regulators keep for films and books; `#` is any digit. Ofcom (UK), ARCEP (France),
#: Bundesnetzagentur (Germany), ComReg (Ireland), PTS (Sweden), and NANPA's 555-01XX in the Dominican Republic.
FICTION: Final[dict[str, tuple[str, ...]]] = {
    "GB": ("7700900###",),
    "FR": ("19900####", "26191####", "35301####", "46571####", "53649####", "63998####"),
    "DE": ("3023125###", "6990009###", "4066969###", "2214710###", "8999998###"),
    "IE": ("2091#####",),
    "SE": ("3139006##", "4062804##", "8465004##", "9803192##"),
    "DO": ("80955501##", "82955501##", "84955501##"),
}
_TRIES: Final = 10_000


def digits(pattern: str, random: Random) -> str:
    """`pattern` with a random digit for each `#`."""
    return "".join(str(random.randrange(10)) if c == "#" else c for c in pattern)


def nobodys_phone(country: str, random: Random) -> str:
    """A phone number in international form, reserved for fiction or in no assigned range.

    Where a regulator reserves numbers for fiction, one of those. Elsewhere a number as long as a mobile number of the
    country, of a length libphonenumber calls possible, in a range it knows to be assigned to nobody.

    Raises:
        BenchmarkError: libphonenumber knows no such number.
    """
    code = phonenumbers.country_code_for_region(country)
    if country in FICTION:
        return _international(phonenumbers.parse(f"+{code}{digits(random.choice(FICTION[country]), random)}"))
    example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
    like = phonenumbers.national_significant_number(example) if example else "#" * 9
    # Where mobile numbers begin with a 0 that is part of the number, all numbers do.
    for _ in range(_TRIES):
        first = "0" if like.startswith("0") else str(random.randrange(1, 10))
        number = phonenumbers.parse(f"+{code}{digits(first + '#' * (len(like) - 1), random)}")
        same = len(phonenumbers.national_significant_number(number)) == len(like)
        if same and phonenumbers.is_possible_number(number) and not phonenumbers.is_valid_number(number):
            return _international(number)
    raise BenchmarkError(f"libphonenumber knows no unassigned number of {len(like)} digits in {country}")


def _international(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


#: Zeros that somebody has. Norway's 0000 is the old postal giro, whose accounts were real; Brazil's are Banco do
#: Brasil's; in Iceland the first two digits are the bank, and with a branch of 01 they are the central bank's 0001.
_TAKEN: Final = {"NO": ("0000",), "BR": ("00000000",), "IS": ("00",)}


@cache
def nobodys_bank(country: str) -> str:
    """A bank code of the country's form that schwifty's registry of banks doesn't list: zeros, if it can be.

    Where a bank code is made of letters it is X's, which no institution's BIC consists of.

    Raises:
        BenchmarkError: Every code is taken or refused.
    """
    length = registry.get_iban_spec(country).positions[Component.BANK_CODE].length
    ascending = (f"{n:0{length}d}" for n in range(min(10**length, _TRIES)))
    for code in ("0" * length, "9" * length, "X" * length, "XX" + "0" * (length - 2), *ascending):
        if len(code) != length or code in _TAKEN.get(country, ()):
            continue
        if registry.get_banks_by_code(country, code):
            continue
        try:
            IBAN.random(country, random=Random(0), use_registry=False, bank_code=code)
        except (SchwiftyException, ValueError):
            continue
        return code
    raise BenchmarkError(f"no bank code of {country} is free")


#: What schwifty would fill in against the structure: Brazil's account type is a letter (C: current account).
_PARTS: Final = {"BR": {"account_type": "C"}}


def nobodys_iban(country: str, random: Random) -> str:
    """An IBAN of the country's length and structure, with right check digits, at a bank that does not exist.

    Raises:
        BenchmarkError: Every bank code of the country is taken.
    """
    parts = {"bank_code": nobodys_bank(country), **_PARTS.get(country, {})}
    drawn = IBAN.random(country, random=random, use_registry=False, **parts)
    return str(drawn.formatted)
