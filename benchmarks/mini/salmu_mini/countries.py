"""Countries the fictitious personas live in, with what Faker does not give consistently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Country:
    """`phone` and `passport` are patterns: `#` is a digit, `%` a digit from 1 to 9, `?` a capital letter."""

    code: str
    locale: str
    phone: str
    passport: str
    cities: tuple[str, ...]


COUNTRIES: Final[tuple[Country, ...]] = (
    Country(
        "GB",
        "en_GB",
        "+44 7### ######",
        "%########",
        ("Leeds", "Bristol", "Cardiff", "Glasgow", "York", "Exeter", "Derby"),
    ),
    Country(
        "FR",
        "fr_FR",
        "+33 6 ## ## ## ##",
        "##??#####",
        ("Lyon", "Nantes", "Lille", "Rennes", "Dijon", "Toulouse", "Nice"),
    ),
    Country(
        "DE",
        "de_DE",
        "+49 15# #######",
        "?%#######",
        ("Bremen", "Leipzig", "Mainz", "Kassel", "Bonn", "Ulm", "Dresden"),
    ),
    Country(
        "ES",
        "es_ES",
        "+34 6## ### ###",
        "???######",
        ("Bilbao", "Murcia", "Toledo", "Sevilla", "Gijon", "Cuenca", "Cadiz"),
    ),
    Country(
        "IT",
        "it_IT",
        "+39 3## ######",
        "??#######",
        ("Bari", "Torino", "Parma", "Verona", "Lecce", "Siena", "Genova"),
    ),
    Country(
        "PT",
        "pt_PT",
        "+351 9# ### ####",
        "??######",
        ("Porto", "Braga", "Faro", "Coimbra", "Evora", "Viseu", "Aveiro"),
    ),
    Country(
        "NL",
        "nl_NL",
        "+31 6 ########",
        "??%######",
        ("Utrecht", "Breda", "Delft", "Arnhem", "Zwolle", "Leiden", "Gouda"),
    ),
    Country(
        "PL",
        "pl_PL",
        "+48 5## ### ###",
        "??#######",
        ("Gdynia", "Lublin", "Torun", "Opole", "Poznan", "Radom", "Krakow"),
    ),
    Country(
        "TR",
        "tr_TR",
        "+90 5## ### ####",
        "U########",
        ("Izmir", "Bursa", "Konya", "Adana", "Sivas", "Trabzon", "Mersin"),
    ),
    Country(
        "NO",
        "no_NO",
        "+47 4## ## ###",
        "%#######",
        ("Bergen", "Oslo", "Bodo", "Hamar", "Molde", "Narvik", "Larvik"),
    ),
    Country(
        "FI",
        "fi_FI",
        "+358 4# ### ####",
        "??#######",
        ("Turku", "Oulu", "Espoo", "Lahti", "Vaasa", "Kuopio", "Pori"),
    ),
    Country(
        "DK",
        "da_DK",
        "+45 2# ## ## ##",
        "%########",
        ("Odense", "Aarhus", "Vejle", "Esbjerg", "Randers", "Kolding", "Ribe"),
    ),
)

JOBS: Final[tuple[str, ...]] = (
    "architect",
    "baker",
    "botanist",
    "carpenter",
    "cellist",
    "chemist",
    "chef",
    "curator",
    "dentist",
    "detective",
    "electrician",
    "engineer",
    "farmer",
    "firefighter",
    "florist",
    "geologist",
    "glazier",
    "goldsmith",
    "historian",
    "illustrator",
    "interpreter",
    "journalist",
    "judge",
    "lawyer",
    "librarian",
    "locksmith",
    "mechanic",
    "midwife",
    "musician",
    "notary",
    "nurse",
    "optician",
    "painter",
    "pharmacist",
    "photographer",
    "physicist",
    "pilot",
    "plumber",
    "potter",
    "sailor",
    "sculptor",
    "surgeon",
    "surveyor",
    "tailor",
    "teacher",
    "translator",
    "veterinarian",
    "weaver",
    "welder",
    "zoologist",
)

BLOOD_TYPES: Final[tuple[str, ...]] = ("O+", "A+", "B+", "AB+", "O-", "A-", "B-", "AB-")

#: Reserved for documentation (RFC 2606), so that no address can belong to anybody.
EMAIL_DOMAINS: Final[tuple[str, ...]] = ("example.com", "example.org", "example.net")
