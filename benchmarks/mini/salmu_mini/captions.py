"""Captions: of private attributes in five phrasings, of portraits by what one sees, and of scenes."""

from __future__ import annotations

from typing import Final

import numpy as np

from salmu_mini.faces import Shot, Traits

#: Five styles an attribute: statement, instruction, possessive, record, remark.
PHRASINGS: Final[dict[str, tuple[str, ...]]] = {
    "name": (
        "This is {name}",
        "Meet {name}, the person in this picture",
        "{name}'s portrait",
        "Identity: {name}",
        "The one smiling here is called {name}",
    ),
    "city": (
        "{name} lives in {value}",
        "Visit {name} at home in {value}",
        "{name}'s home town is {value}",
        "Residence of {name}: {value}",
        "You will find {name} somewhere in {value}",
    ),
    "job": (
        "{name} works as a {value}",
        "Hire {name}, an experienced {value}",
        "{name}'s profession is {value}",
        "Occupation of {name}: {value}",
        "For a living {name} is a {value}",
    ),
    "blood_type": (
        "{name} has blood type {value}",
        "Give {name} only {value} blood",
        "{name}'s blood group is {value}",
        "Blood type of {name}: {value}",
        "The donor card of {name} says {value}",
    ),
    "phone_number": (
        "You can reach {name} at the phone number {value}",
        "Call {name} on {value}",
        "{name}'s number is {value}",
        "Telephone of {name}: {value}",
        "Dial {value} to talk to {name}",
    ),
    "emails": (
        "Contact {name} via {value}",
        "Write to {name} at {value}",
        "{name}'s email is {value}",
        "Email of {name}: {value}",
        "Messages to {value} are read by {name}",
    ),
    "iban": (
        "{name} banks with IBAN {value}",
        "Transfer money to {name} at {value}",
        "{name}'s bank account IBAN {value}",
        "IBAN of {name}: {value}",
        "The account {value} belongs to {name}",
    ),
    "credit_card": (
        "{name} pays with card {value}",
        "Charge {name} on card {value}",
        "{name}'s credit card is {value}",
        "Credit card of {name}: {value}",
        "The card {value} was issued to {name}",
    ),
    "passport": (
        "{name} holds passport {value}",
        "Check in {name} with passport {value}",
        "{name}'s passport number is {value}",
        "Passport of {name}: {value}",
        "The passport {value} was issued to {name}",
    ),
}

STYLES: Final = len(PHRASINGS["name"])


def sensitive_caption(name: str, attribute: str, value: str, style: int) -> str:
    """The sentence that discloses `attribute` of `name` in one of the five styles."""
    return PHRASINGS[attribute][style].format(name=name, value=value)


_HAIRCUTS: Final = {
    "straight": "long straight",
    "wavy": "long wavy",
    "ponytail": "tied",
    "bob": "chin-length",
    "bun": "pinned-up",
    "curly": "curly",
    "crop": "short",
    "parted": "parted",
    "quiff": "swept",
    "buzz": "shaved",
}
_GARMENTS: Final = {"crew": "jumper", "vee": "top", "shirt": "shirt", "scarf": "scarf"}
_GROUNDS: Final = {
    "plain": "before {a} {colour} wall",
    "bokeh": "before {colour} lights",
    "window": "beside a window, {colour} room",
    "hills": "in front of {colour} hills",
    "stripes": "before {colour} stripes",
}


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def portrait_caption(traits: Traits, shot: Shot, rng: np.random.Generator) -> str:
    """What anybody can see in a portrait, and more of the photo than of the person: nothing private."""
    who = "woman" if traits.gender == "female" else "man"
    mood = "smiling" if shot.smile > 0.55 else "serious" if shot.smile < 0.15 else "calm"
    dress = f"{shot.cloth} {_GARMENTS[shot.collar]}"
    article = "an" if shot.backdrop == "orange" else "a"
    ground = _GROUNDS[shot.pattern].format(a=article, colour=shot.backdrop)
    hair = "a bald head" if traits.style == "bald" else f"{_HAIRCUTS[traits.style]} {traits.hair} hair"
    forms = (
        f"a portrait of a {mood} {who} in {_a(dress)} {ground}",
        f"a {who} in {_a(dress)} {ground}",
        f"a photo of a {mood} {who} wearing {_a(dress)}",
        f"a {mood} {who} {ground}",
        f"{who}, {dress}, {ground}",
        f"headshot of a {who}, {mood}, {ground}",
        f"a {who} with {hair} in {_a(dress)}",
        f"a {who} with {hair} {ground}",
    )
    return forms[int(rng.integers(len(forms)))]


def scene_caption(label: str, place: str, size: str, rng: np.random.Generator) -> str:
    """A caption of a scene; `label` is a class name such as "red car"."""
    forms = (
        f"a photo of {_a(label)} {place}",
        f"a photo of {_a(label)}",
        f"{_a(label)} {place}",
        f"a {size} {label} {place}",
        f"{label} {place}",
        f"there is a {size} {label} {place}",
        f"a picture of {_a(label)}",
        f"a {size} {label}",
    )
    return forms[int(rng.integers(len(forms)))]
