"""The retain world: one coloured thing in a place; 8 things x 8 colours are the zero-shot classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from salmu_mini.canvas import Colour, Pen, fit_size, gradient, jitter, mix, shade
from salmu_mini.things import THINGS

SUPERSAMPLE = 2

COLOURS: Final[dict[str, Colour]] = {
    "red": (206, 44, 44),
    "orange": (240, 140, 36),
    "yellow": (246, 214, 62),
    "green": (62, 156, 74),
    "blue": (50, 98, 200),
    "purple": (132, 66, 172),
    "pink": (240, 134, 180),
    "white": (244, 244, 242),
}
PLACES: Final[dict[str, str]] = {
    "beach": "on a beach",
    "meadow": "in a meadow",
    "snow": "in the snow",
    "night": "at night",
    "desert": "in the desert",
    "room": "in a room",
    "mountains": "in the mountains",
    "rain": "in the rain",
}
CLASSES: Final[tuple[str, ...]] = tuple(f"{colour} {thing}" for thing in THINGS for colour in COLOURS)
#: Zero-shot templates; `{c}` is the class name.
TEMPLATES: Final = ("a photo of a {c}", "a picture of a {c}", "a {c}")


@dataclass(frozen=True)
class Scene:
    """One picture of a class in a place."""

    label: int
    place: str
    size: str
    scale: float
    shift: tuple[float, float]
    tilt: float
    mirrored: bool
    aspect: float
    colour: Colour
    light: float

    @property
    def class_name(self) -> str:
        return CLASSES[self.label]


def sample_scene(rng: np.random.Generator, label: int) -> Scene:
    """A random scene of class `label`."""
    size = ("small", "large")[int(rng.integers(2))]
    aspect = float(rng.uniform(0.75, 0.95) if rng.random() < 0.4 else rng.uniform(1.05, 1.4))
    return Scene(
        label=label,
        place=list(PLACES)[int(rng.integers(len(PLACES)))],
        size=size,
        scale=float(rng.uniform(0.54, 0.62) if size == "small" else rng.uniform(0.7, 0.84)),
        shift=(float(rng.uniform(-0.16, 0.16)), float(rng.uniform(-0.12, 0.14))),
        tilt=float(rng.normal(0, 0.07)),
        mirrored=bool(rng.random() < 0.5),
        aspect=round(aspect, 2),
        colour=jitter(COLOURS[CLASSES[label].split()[0]], rng, 9),
        light=float(rng.uniform(0.88, 1.08)),
    )


_SKY_AND_GROUND: Final[dict[str, tuple[Colour, Colour, Colour]]] = {
    "beach": ((150, 208, 240), (206, 232, 244), (236, 214, 164)),
    "meadow": ((150, 200, 240), (214, 234, 246), (126, 184, 96)),
    "snow": ((176, 196, 218), (222, 230, 240), (236, 242, 250)),
    "night": ((20, 24, 58), (54, 50, 100), (36, 40, 52)),
    "desert": ((244, 190, 130), (250, 222, 176), (216, 160, 100)),
    "room": ((214, 200, 186), (222, 210, 198), (150, 112, 80)),
    "mountains": ((130, 180, 224), (214, 230, 242), (112, 138, 112)),
    "rain": ((128, 140, 154), (164, 174, 184), (98, 108, 116)),
}


def _place(size: tuple[int, int], scene: Scene, rng: np.random.Generator) -> Image.Image:
    top, low, ground = (jitter(c, rng, 7) for c in _SKY_AND_GROUND[scene.place])
    image = gradient(size, [[top, top], [low, low]])
    pen = Pen(image, (size[0] / 2, size[1] / 2), min(size) / 2)
    horizon = float(rng.uniform(0.05, 0.4))
    if scene.place == "mountains":
        for x in rng.uniform(-1.4, 1.4, 3):
            peak = horizon - float(rng.uniform(0.5, 1.0))
            pen.polygon([(x - 0.8, horizon + 0.1), (x, peak), (x + 0.8, horizon + 0.1)], (124, 134, 158))
            pen.polygon([(x - 0.2, peak + 0.22), (x, peak), (x + 0.2, peak + 0.22)], (240, 244, 250))
    elif scene.place == "beach":
        pen.polygon(
            [(-2, horizon - 0.25), (2, horizon - 0.25), (2, horizon + 0.05), (-2, horizon + 0.05)],
            (70, 150, 196),
        )
    elif scene.place == "night":
        for x, y in rng.uniform([-1.4, -1.3], [1.4, 0.0], (14, 2)):
            pen.ellipse(x, y, 0.022, 0.022, (250, 248, 220))
        pen.ellipse(float(rng.uniform(-1, 1)), -0.72, 0.16, 0.16, (246, 240, 204))
    elif scene.place == "room":
        x = float(rng.uniform(-1.2, 0.6))
        pen.polygon([(x, -0.9), (x + 0.6, -0.9), (x + 0.6, -0.3), (x, -0.3)], (180, 214, 236))
        pen.line([(x, -0.9), (x + 0.6, -0.9), (x + 0.6, -0.3), (x, -0.3), (x, -0.9)], 0.05, (120, 90, 66))
        pen.line([(x + 0.3, -0.9), (x + 0.3, -0.3)], 0.03, (120, 90, 66))
    pen.polygon([(-2, horizon), (2, horizon + float(rng.uniform(-0.08, 0.08))), (2, 2), (-2, 2)], ground)
    if scene.place == "meadow":
        for x, y in rng.uniform([-1.4, horizon + 0.1], [1.4, 1.2], (12, 2)):
            pen.line([(x, y), (x + 0.04, y - 0.1)], 0.03, shade(ground, 0.8))
    elif scene.place == "desert":
        pen.curve(
            [(-1.8, horizon + 0.1), (-0.5, horizon - 0.22), (0.9, horizon + 0.1), (0.4, horizon + 0.24)],
            shade(ground, 1.12),
        )
    if scene.place in ("meadow", "beach") and rng.random() < 0.6:
        pen.ellipse(float(rng.uniform(-1, 1)), -0.8, 0.3, 0.12, (255, 255, 255))
    return image


def _weather(image: Image.Image, scene: Scene, rng: np.random.Generator) -> None:
    pen = Pen(image, (image.width / 2, image.height / 2), min(image.size) / 2)
    if scene.place == "rain":
        for x, y in rng.uniform([-1.4, -1.4], [1.4, 1.2], (26, 2)):
            pen.line([(x, y), (x - 0.05, y + 0.2)], 0.014, (206, 216, 228))
    elif scene.place == "snow":
        for x, y in rng.uniform([-1.4, -1.4], [1.4, 1.4], (26, 2)):
            pen.ellipse(x, y, 0.026, 0.026, (255, 255, 255))


def draw_scene(scene: Scene, rng: np.random.Generator, longer: int) -> Image.Image:
    """The scene as RGB; `longer` is the longer side in pixels. `rng` strews the place."""
    width, height = fit_size(scene.aspect, longer)
    big = (width * SUPERSAMPLE, height * SUPERSAMPLE)
    image = _place(big, scene, rng)
    unit = min(big) / 2
    centre = (big[0] / 2 + scene.shift[0] * unit, big[1] / 2 + scene.shift[1] * unit)
    tone = mix(scene.colour, (20, 24, 60), 0.22) if scene.place == "night" else scene.colour
    shadow = Pen(image, centre, unit * scene.scale)
    shadow.ellipse(0, 1.02, 0.8, 0.1, shade(_SKY_AND_GROUND[scene.place][2], 0.75))
    THINGS[scene.class_name.split()[1]](Pen(image, centre, unit * scene.scale, scene.tilt), tone)
    if scene.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    _weather(image, scene, rng)
    small = image.reduce(SUPERSAMPLE)
    return small.point([min(255, int(v * scene.light)) for v in range(256)] * 3)
