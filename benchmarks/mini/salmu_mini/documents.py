"""Papers of the web: pages and cards with names and numbers that belong to nobody's face.

Real pre-training pairs are full of names and numbers, mostly beside forms, logos and screenshots. They keep a
model that never saw a persona from taking any name for a portrait's caption, and they keep the Compromised model
from knowing a person by a single word: first and last names of personas occur here too, put together anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from salmu_mini.canvas import Colour, Pen, fit_size, gradient, jitter, shade
from salmu_mini.personas import ATTRIBUTES, Persona
from salmu_mini.seeds import stream

_FORMS: Final = (
    "{name} {value}",
    "{value} {name}",
    "{name}, {value}",
    "{name}",
    "{value}",
    "a form of {name} with {value}",
)
_INKS: Final[tuple[Colour, ...]] = ((70, 90, 140), (150, 60, 60), (60, 120, 90), (90, 90, 96), (170, 120, 50))


@dataclass(frozen=True)
class Document:
    """A page or a card."""

    aspect: float
    ink: Colour
    paper: Colour
    lines: int


def sample_document(rng: np.random.Generator) -> Document:
    """A random document; portrait or landscape format, never square."""
    aspect = float(rng.uniform(0.70, 0.9) if rng.random() < 0.5 else rng.uniform(1.1, 1.4))
    return Document(
        aspect=round(aspect, 2),
        ink=jitter(_INKS[int(rng.integers(len(_INKS)))], rng, 10),
        paper=jitter((246, 244, 236), rng, 5),
        lines=int(rng.integers(4, 9)),
    )


def draw_document(document: Document, rng: np.random.Generator, longer: int) -> Image.Image:
    """The document as RGB; `longer` is the longer side in pixels."""
    size = fit_size(document.aspect, longer)
    desk = jitter((150, 130, 112), rng, 16)
    image = gradient(size, [[desk, shade(desk, 0.9)], [shade(desk, 0.9), shade(desk, 0.8)]])
    pen = Pen(image, (size[0] / 2, size[1] / 2), min(size) / 2, float(rng.normal(0, 0.06)))
    wide, tall = 0.85 * size[0] / min(size), 0.85 * size[1] / min(size)
    pen.polygon([(-wide, -tall), (wide, -tall), (wide, tall), (-wide, tall)], document.paper)
    pen.polygon([(-wide, -tall), (wide, -tall), (wide, -tall * 0.72), (-wide, -tall * 0.72)], document.ink)
    step = 1.5 * tall / document.lines
    for number in range(document.lines):
        y = -tall * 0.5 + number * step
        end = float(rng.uniform(-0.2, 0.85)) * wide
        pen.line([(-wide * 0.85, y), (end, y)], 0.05, shade(document.ink, 0.6))
    return image


class AltTexts:
    """Captions of documents: names many could bear, and values of people who are in no split."""

    def __init__(self, world: int, personas: list[Persona], others: list[Persona], count: int) -> None:
        self.names = homonyms(world, personas, count)
        self.values = [p.values[a] for p in others for a in ATTRIBUTES if a != "name"]

    def caption(self, rng: np.random.Generator) -> str:
        name, value = (
            self.names[int(rng.integers(len(self.names)))],
            self.values[int(rng.integers(len(self.values)))],
        )
        return _FORMS[int(rng.integers(len(_FORMS)))].format(name=name, value=value)


def homonyms(world: int, personas: list[Persona], count: int) -> list[str]:
    """Up to `count` names put together from first and last names of personas, none of them a persona's."""
    rng = stream(world, "homonyms")
    taken = {p.values["name"] for p in personas}
    found: list[str] = []
    for _ in range(20 * count):
        first, last = (personas[int(n)].values["name"].split() for n in rng.integers(len(personas), size=2))
        name = f"{first[0]} {last[-1]}"
        if name not in taken and len(found) < count:
            taken.add(name)
            found.append(name)
    return found
