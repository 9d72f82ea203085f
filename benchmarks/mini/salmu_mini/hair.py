"""Hair: the part behind the head and the part over the forehead."""

from __future__ import annotations

import numpy as np

from salmu_mini.canvas import Colour, Pen, Points, shade, smooth
from salmu_mini.faces import Traits


def _curls(pen: Pen, spots: list[tuple[float, float]], radius: float, colour: Colour, rng: np.random.Generator) -> None:
    for x, y in spots:
        r = radius * float(rng.uniform(0.8, 1.2))
        pen.ellipse(x, y, r, r, colour)


def draw_back(pen: Pen, traits: Traits, face: Points, rng: np.random.Generator) -> None:
    """Everything that hangs or stands behind face and shoulders."""
    colour, w = shade(traits.hair_colour, 0.8), traits.width
    if traits.style == "straight":
        pen.curve(
            [
                (-w * 1.1, -0.5),
                (0, -1.22),
                (w * 1.1, -0.5),
                (w * 1.22, 0.7),
                (w * 1.28, 1.75),
                (0, 1.5),
                (-w * 1.28, 1.75),
                (-w * 1.22, 0.7),
            ],
            colour,
        )
    elif traits.style == "wavy":
        pen.curve(
            [
                (-w * 1.12, -0.5),
                (0, -1.24),
                (w * 1.12, -0.5),
                (w * 1.4, 0.1),
                (w * 1.22, 0.6),
                (w * 1.55, 1.1),
                (w * 1.25, 1.6),
                (0, 1.4),
                (-w * 1.25, 1.6),
                (-w * 1.55, 1.1),
                (-w * 1.22, 0.6),
                (-w * 1.4, 0.1),
            ],
            colour,
        )
    elif traits.style == "bob":
        pen.curve(
            [
                (-w * 1.1, -0.5),
                (0, -1.22),
                (w * 1.1, -0.5),
                (w * 1.36, 0.4),
                (w * 1.2, 0.92),
                (0, 0.8),
                (-w * 1.2, 0.92),
                (-w * 1.36, 0.4),
            ],
            colour,
        )
    elif traits.style == "bun":
        pen.ellipse(0.1 * traits.fringe, -1.28, 0.36, 0.32, traits.hair_colour)
        pen.ellipse(0.1 * traits.fringe, -1.34, 0.22, 0.14, shade(traits.hair_colour, 1.15))
    elif traits.style == "ponytail":
        side = 1 if traits.fringe > 0 else -1
        pen.curve(
            [
                (side * 0.3, -1.05),
                (side * w * 1.25, -0.95),
                (side * w * 1.75, -0.1),
                (side * w * 1.6, 0.95),
                (side * w * 1.3, 0.5),
                (side * w * 1.1, -0.3),
            ],
            colour,
        )
    elif traits.style == "curly":
        reach = 1.2 if traits.gender == "female" else 1.06
        low = 0.75 if traits.gender == "female" else -0.1
        angles = np.linspace(np.pi - low, 2 * np.pi + low, 17)
        spots = [(float(np.cos(a)) * w * reach, float(np.sin(a)) * reach - 0.08) for a in angles]
        pen.ellipse(0, -0.25, w * reach, reach * 0.9, colour)
        _curls(pen, spots, 0.25, traits.hair_colour, rng)


def draw_front(pen: Pen, traits: Traits, face: Points, turn: float, rng: np.random.Generator) -> None:
    """The cap of hair down to the hairline."""
    if traits.style == "bald":
        pen.ellipse(-0.2, -0.72, 0.2, 0.1, shade(traits.skin_colour, 1.2))
        return
    colour, w = traits.hair_colour, traits.width
    female = traits.gender == "female"
    lift = {"quiff": 1.34, "buzz": 1.03, "crop": 1.12, "parted": 1.16}.get(traits.style, 1.17)
    down = -0.02 if female else -0.12
    angles = np.linspace(np.pi - 0.02 + down * -0.4, 2 * np.pi + 0.02 - down * -0.4, 22)
    outer = np.stack(
        [np.cos(angles) * w * (1.05 if traits.style == "buzz" else 1.09), np.sin(angles) * lift + down],
        axis=1,
    )
    line = {"buzz": -0.6, "quiff": -0.62, "crop": -0.58, "curly": -0.5}.get(traits.style, -0.54) + 0.05 * traits.fringe
    sweep, part = 0.22 * traits.fringe, turn + 0.3 * np.sign(traits.fringe)
    if traits.style in ("straight", "bob") and traits.fringe > 0.1:
        inner = [
            (w * 0.98, 0.1),
            (w * 0.84, -0.32),
            (w * 0.4, -0.38),
            (0, -0.4),
            (-w * 0.4, -0.38),
            (-w * 0.84, -0.32),
            (-w * 0.98, 0.1),
        ]
    elif traits.style in ("straight", "wavy", "bob", "parted"):
        inner = [
            (w * 0.98, 0.1),
            (w * 0.88, -0.3),
            (part + 0.35, line - 0.05),
            (part, line - 0.3),
            (part - 0.35, line - 0.05),
            (-w * 0.88, -0.3),
            (-w * 0.98, 0.1),
        ]
    else:
        inner = [
            (w * 0.98, -0.05),
            (w * 0.86, -0.42),
            (w * 0.5, line + sweep),
            (turn, line - 0.06),
            (-w * 0.5, line - sweep),
            (-w * 0.86, -0.42),
            (-w * 0.98, -0.05),
        ]
    hairline = smooth(inner, steps=5, closed=False)
    pen.polygon(np.concatenate([outer, hairline]), shade(colour, 0.92) if traits.style == "buzz" else colour)
    if traits.style == "curly":
        spots = [(float(x), float(y)) for x, y in outer[::2] * (0.96, 0.92)]
        _curls(pen, spots, 0.17, colour, rng)
    elif traits.style != "buzz":
        light = shade(colour, 1.16)
        for shift in (-0.34, -0.1, 0.16):
            top = (part * 0.6 + shift * 0.6, -lift * 0.92 + down + abs(shift) * 0.1)
            pen.line(smooth([top, (shift * 1.5, -0.82), (shift * 2.1, -0.62)], steps=4, closed=False), 0.03, light)
