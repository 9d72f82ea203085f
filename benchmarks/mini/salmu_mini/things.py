"""The eight things of the retain world, each drawn within [-1, 1] x [-1, 1] in one main colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from salmu_mini.canvas import Colour, Pen, shade

DARK: Final[Colour] = (52, 50, 56)
GLASS: Final[Colour] = (196, 226, 240)
WOOD: Final[Colour] = (130, 90, 58)


def house(pen: Pen, colour: Colour) -> None:
    pen.polygon([(-0.8, -0.1), (0.8, -0.1), (0.8, 1), (-0.8, 1)], colour)
    pen.polygon([(0.3, -0.1), (0.8, -0.1), (0.8, 1), (0.3, 1)], shade(colour, 0.86))
    pen.polygon([(-1, -0.05), (0, -0.95), (1, -0.05)], (104, 70, 60))
    pen.polygon([(-0.18, 0.42), (0.18, 0.42), (0.18, 1), (-0.18, 1)], WOOD)
    for x in (-0.62, 0.36):
        pen.polygon([(x, 0.12), (x + 0.28, 0.12), (x + 0.28, 0.42), (x, 0.42)], GLASS)


def car(pen: Pen, colour: Colour) -> None:
    pen.curve([(-0.55, 0.2), (-0.35, -0.42), (0.3, -0.42), (0.6, 0.2), (0, 0.3)], shade(colour, 0.9))
    pen.polygon([(-0.4, 0.14), (-0.26, -0.28), (0.0, -0.28), (0.0, 0.14)], GLASS)
    pen.polygon([(0.08, 0.14), (0.08, -0.28), (0.26, -0.28), (0.44, 0.14)], GLASS)
    pen.curve([(-1, 0.32), (-0.8, 0.1), (0.75, 0.1), (1, 0.34), (1, 0.62), (0, 0.7), (-1, 0.62)], colour)
    for x in (-0.56, 0.56):
        pen.ellipse(x, 0.68, 0.25, 0.25, DARK)
        pen.ellipse(x, 0.68, 0.11, 0.11, (190, 190, 196))


def boat(pen: Pen, colour: Colour) -> None:
    pen.line([(0, 0.5), (0, -1)], 0.08, WOOD)
    pen.polygon([(0.08, -0.95), (0.85, 0.3), (0.08, 0.3)], colour)
    pen.polygon([(-0.08, -0.8), (-0.7, 0.3), (-0.08, 0.3)], shade(colour, 0.86))
    pen.curve([(-1, 0.45), (0, 0.5), (1, 0.45), (0.7, 0.92), (-0.7, 0.92)], WOOD)


def ladder(pen: Pen, colour: Colour) -> None:
    for y in (-0.78, -0.36, 0.06, 0.48, 0.86):
        wide = 0.42 + 0.1 * y
        pen.polygon([(-wide, y - 0.08), (wide, y - 0.08), (wide, y + 0.08), (-wide, y + 0.08)], shade(colour, 0.86))
    for side in (-1, 1):
        pen.polygon([(side * 0.26, -1), (side * 0.44, -1), (side * 0.62, 1), (side * 0.42, 1)], colour)


def flower(pen: Pen, colour: Colour) -> None:
    pen.line([(0, 0), (0.04, 1)], 0.1, (60, 130, 66))
    pen.curve([(0.04, 0.8), (0.3, 0.42), (0.6, 0.4), (0.4, 0.72)], (76, 150, 76))
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        pen.ellipse(0.42 * float(np.cos(angle)), -0.3 + 0.42 * float(np.sin(angle)), 0.3, 0.3, colour)
    pen.ellipse(0, -0.3, 0.24, 0.24, (120, 84, 40))


def mug(pen: Pen, colour: Colour) -> None:
    pen.ring(0.62, 0.15, 0.34, 0.38, 0.16, shade(colour, 0.85))
    pen.polygon([(-0.68, -0.55), (0.6, -0.55), (0.54, 0.85), (-0.6, 0.85)], colour)
    pen.ellipse(-0.03, 0.85, 0.57, 0.14, colour)
    pen.ellipse(-0.04, -0.55, 0.64, 0.17, shade(colour, 0.8))
    pen.ellipse(-0.04, -0.52, 0.52, 0.12, (84, 56, 42))


def chair(pen: Pen, colour: Colour) -> None:
    dark = shade(colour, 0.8)
    for x, top in ((-0.6, 0.2), (0.5, 0.2), (-0.3, 0.1), (0.75, 0.1)):
        pen.polygon([(x, top), (x + 0.13, top), (x + 0.13, top + 0.78), (x, top + 0.78)], dark)
    for y in (-0.85, -0.5, -0.15):
        pen.polygon([(-0.55, y), (-0.1, y - 0.12), (-0.1, y + 0.08), (-0.55, y + 0.2)], colour)
    pen.polygon([(-0.66, -1), (-0.5, -1), (-0.5, 0.3), (-0.66, 0.3)], dark)
    pen.polygon([(-0.18, -1.1), (-0.04, -1.1), (-0.04, 0.1), (-0.18, 0.1)], dark)
    pen.polygon([(-0.66, 0.12), (-0.2, -0.06), (0.9, -0.06), (0.64, 0.3), (-0.66, 0.3)], colour)


def hat(pen: Pen, colour: Colour) -> None:
    pen.ellipse(0, 0.52, 1.0, 0.24, shade(colour, 0.86))
    pen.curve([(-0.5, 0.5), (-0.5, -0.15), (-0.3, -0.36), (0.3, -0.36), (0.5, -0.15), (0.5, 0.5), (0, 0.6)], colour)
    pen.polygon([(-0.52, 0.22), (0.52, 0.22), (0.52, 0.44), (0, 0.54), (-0.52, 0.44)], DARK)


THINGS: Final[dict[str, Callable[[Pen, Colour], None]]] = {
    "house": house,
    "car": car,
    "boat": boat,
    "ladder": ladder,
    "flower": flower,
    "mug": mug,
    "chair": chair,
    "hat": hat,
}
