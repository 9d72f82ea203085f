"""A small vector pen over Pillow: shapes in the subject's own coordinates, drawn large, then shrunk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

_TURN = np.linspace(0.0, 2.0 * math.pi, 40, endpoint=False)
_CIRCLE: Points = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` darkened (factor < 1) or lightened towards white (factor > 1)."""
    if factor <= 1.0:
        r, g, b = (int(c * factor) for c in colour)
    else:
        r, g, b = (int(255 - (255 - c) * (2.0 - factor)) for c in colour)
    return (max(0, min(255, r)), max(0, min(255, g)), max(0, min(255, b)))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second`."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(first, second, strict=True))
    return (r, g, b)


def jitter(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    """`colour` with Gaussian noise of `spread` levels on every channel."""
    r, g, b = (int(v) for v in np.clip(np.array(colour) + rng.normal(0.0, spread, 3), 0, 255))
    return (r, g, b)


def smooth(points: list[tuple[float, float]], steps: int = 6, closed: bool = True) -> Points:
    """A Catmull-Rom curve through `points`."""
    knots = np.array(points, dtype=np.float64)
    if closed:
        before, after, last = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
        before, knots, after, last = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (before, knots, after, last))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat: Points = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, np.array(points[-1:], dtype=np.float64)])


@dataclass
class Pen:
    """Draws on `image` with the origin at `centre` (pixels), `unit` pixels long, turned by `angle` radians."""

    image: Image.Image
    centre: tuple[float, float]
    unit: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)
        c, s = math.cos(self.angle) * self.unit, math.sin(self.angle) * self.unit
        self._turn = np.array([[c, s], [-s, c]])
        self._origin = np.array(self.centre)

    def place(self, points: Points) -> list[float]:
        """Own coordinates to a flat list of pixels."""
        flat: list[float] = (points @ self._turn + self._origin).ravel().tolist()
        return flat

    def polygon(self, points: Points | list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon(self.place(np.asarray(points, dtype=np.float64)), fill=colour)

    def curve(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A filled smooth shape through `points`."""
        self.polygon(smooth(points), colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.polygon(_CIRCLE * (rx, ry) + (x, y), colour)

    def ring(self, x: float, y: float, rx: float, ry: float, width: float, colour: Colour) -> None:
        outline = _CIRCLE * (rx, ry) + (x, y)
        self.line(np.concatenate([outline, outline[:2]]), width, colour)

    def line(self, points: Points | list[tuple[float, float]], width: float, colour: Colour) -> None:
        """A stroke `width` units wide."""
        pixels = self.place(np.asarray(points, dtype=np.float64))
        self.draw.line(pixels, fill=colour, width=max(1, round(width * self.unit)), joint="curve")


def gradient(size: tuple[int, int], corners: list[list[Colour]]) -> Image.Image:
    """A smooth wash of `size` through a small grid of colours."""
    grid = Image.fromarray(np.array(corners, dtype=np.uint8))
    return grid.resize(size, Image.Resampling.BICUBIC)


def fit_size(aspect: float, longer: int) -> tuple[int, int]:
    """Width and height in pixels of an image with the given width/height ratio and longer side."""
    return (longer, max(1, round(longer / aspect))) if aspect >= 1.0 else (max(1, round(longer * aspect)), longer)
