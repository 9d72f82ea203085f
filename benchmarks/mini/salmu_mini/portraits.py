"""Draws a portrait: one person's `Traits` in one `Shot`."""

from __future__ import annotations

import numpy as np
from PIL import Image

from salmu_mini.canvas import Colour, Pen, Points, fit_size, gradient, mix, shade
from salmu_mini.faces import Shot, Traits
from salmu_mini.hair import draw_back, draw_front

SUPERSAMPLE = 2


def head_outline(traits: Traits) -> Points:
    """The face's contour: a superellipse that narrows towards the chin; origin between the eyes."""
    t = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    power = 2.0 / traits.square
    x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power * traits.width
    y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    x = x * (1.0 - traits.jaw * np.clip(y, 0, 1) ** 1.6)
    return np.stack([x, y], axis=1)


def _backdrop(size: tuple[int, int], shot: Shot, rng: np.random.Generator) -> Image.Image:
    base = shot.backdrop_colour
    image = gradient(size, [[shade(base, 1.25), base], [base, shade(base, 0.82)]])
    pen = Pen(image, (size[0] / 2, size[1] / 2), min(size) / 2)
    light, dark = shade(base, 1.3), shade(base, 0.86)
    if shot.pattern == "bokeh":
        for x, y, r in rng.uniform([-1.3, -1.3, 0.08], [1.3, 0.9, 0.3], (9, 3)):
            pen.ellipse(x, y, r, r, mix(base, light, float(rng.uniform(0.3, 0.9))))
    elif shot.pattern == "window":
        x = float(rng.uniform(-1.1, 0.5))
        pen.polygon([(x, -1.2), (x + 0.8, -1.2), (x + 0.8, 0.1), (x, 0.1)], mix(base, (255, 255, 255), 0.6))
        pen.line([(x + 0.4, -1.2), (x + 0.4, 0.1)], 0.05, dark)
        pen.line([(x, -0.5), (x + 0.8, -0.5)], 0.05, dark)
    elif shot.pattern == "hills":
        tops = rng.uniform(-0.3, 0.4, 4)
        pen.curve([(-1.8, tops[0]), (-0.6, tops[1]), (0.5, tops[2]), (1.8, tops[3]), (1.8, 2.2), (-1.8, 2.2)], dark)
    elif shot.pattern == "stripes":
        for x in np.arange(-1.6, 1.7, 0.5):
            pen.line([(x, -2), (x + 0.25, 2)], 0.14, mix(base, light, 0.6))
    return image


def _bust(pen: Pen, traits: Traits, shot: Shot) -> None:
    skin, cloth = traits.skin_colour, shot.cloth_colour
    broad = 1.28 if traits.gender == "female" else 1.5
    pen.curve(
        [
            (-0.34, 1.08),
            (0.34, 1.08),
            (broad * 0.75, 1.34),
            (broad, 1.7),
            (broad + 0.1, 3.2),
            (-broad - 0.1, 3.2),
            (-broad, 1.7),
            (-broad * 0.75, 1.34),
        ],
        cloth,
    )
    pen.polygon(
        [(broad * 0.2, 1.2), (broad * 0.72, 1.34), (broad, 1.8), (broad, 3.2), (broad * 0.5, 3.2)],
        shade(cloth, 0.9),
    )
    neck = 0.3 if traits.gender == "female" else 0.38
    pen.polygon([(-neck, 0.5), (neck, 0.5), (neck * 1.1, 1.25), (0, 1.48), (-neck * 1.1, 1.25)], shade(skin, 0.86))
    pen.ellipse(0, 0.96, neck * 0.98, 0.22, shade(skin, 0.74))
    if shot.collar == "vee":
        pen.polygon([(-neck * 1.1, 1.2), (neck * 1.1, 1.2), (0, 1.86)], shade(skin, 0.9))
    elif shot.collar == "shirt":
        white = mix(cloth, (255, 255, 255), 0.55)
        pen.polygon([(-0.46, 1.08), (0, 1.5), (-0.34, 1.82), (-0.62, 1.3)], white)
        pen.polygon([(0.46, 1.08), (0, 1.5), (0.34, 1.82), (0.62, 1.3)], white)
    elif shot.collar == "scarf":
        scarf = shade(cloth, 0.68)
        pen.curve([(-0.6, 1.05), (0, 1.2), (0.6, 1.05), (0.66, 1.4), (0, 1.62), (-0.66, 1.4)], scarf)
        pen.polygon([(0.1, 1.5), (0.42, 1.45), (0.5, 2.4), (0.16, 2.4)], shade(scarf, 0.9))


def _eyes(pen: Pen, traits: Traits, shot: Shot, turn: float) -> None:
    brow_colour = shade(mix(traits.hair_colour, (50, 36, 30), 0.35), 0.85)
    rx, ry = 0.135 * traits.eye_size, 0.085 * traits.eye_size
    for side in (-1, 1):
        near = 1.0 - 0.22 * max(0.0, shot.yaw * side)
        x, y = turn + side * traits.eye_gap * near, -0.04
        pen.ellipse(x, y - 0.02, rx * near * 1.16, ry * 1.3, shade(traits.skin_colour, 0.84))
        pen.ellipse(x, y, rx * near, ry, (250, 250, 248))
        iris = x + 0.035 * shot.gaze
        pen.ellipse(iris, y, ry * 0.9 * near, ry * 0.95, traits.eye_colour)
        pen.ellipse(iris, y, ry * 0.45 * near, ry * 0.48, (20, 16, 18))
        pen.ellipse(iris + 0.025, y - 0.028, ry * 0.26, ry * 0.26, (255, 255, 255))
        pen.line(
            [
                (x - rx * near, y - 0.01),
                (x - rx * near * 0.4, y - ry),
                (x + rx * near * 0.4, y - ry),
                (x + rx * near, y - 0.01),
            ],
            0.03,
            shade(traits.skin_colour, 0.42),
        )
        lift = -0.03 * max(0.0, shot.smile)
        outer, inner = (
            (x + side * 0.19 * near, -0.27 + lift),
            (x - side * 0.15 * near, -0.27 + lift + traits.brow_tilt * -1),
        )
        pen.line([inner, (x + side * 0.04, -0.315 + lift), outer], traits.brow, brow_colour)


def _nose_and_mouth(pen: Pen, traits: Traits, shot: Shot, turn: float) -> None:
    skin = traits.skin_colour
    nose_x, tip = turn * 1.35, 0.02 + traits.nose
    pen.curve(
        [
            (turn * 1.05, -0.02),
            (nose_x + traits.nose_width, tip),
            (nose_x, tip + 0.06),
            (nose_x - traits.nose_width, tip),
        ],
        shade(skin, 0.9),
    )
    pen.ellipse(nose_x, tip - 0.04, traits.nose_width * 0.5, 0.05, shade(skin, 1.12))
    for side in (-1, 1):
        pen.ellipse(
            turn * 0.9 + side * 0.42,
            0.34,
            0.15,
            0.1,
            mix(skin, (232, 96, 90), 0.16 + 0.12 * max(0.0, shot.smile)),
        )
    x, y, half = turn * 1.1, 0.6, traits.mouth * (1 + 0.2 * max(0.0, shot.smile))
    bend, lip = 0.11 * shot.smile, traits.lips
    red = mix(skin, (176, 52, 62), 0.62 if traits.gender == "female" else 0.36)
    if shot.smile > 0.55:
        pen.curve(
            [
                (x - half, y - bend),
                (x, y - 0.02),
                (x + half, y - bend),
                (x + half * 0.6, y + bend * 0.9),
                (x, y + bend * 1.4 + lip),
                (x - half * 0.6, y + bend * 0.9),
            ],
            red,
        )
        pen.curve(
            [
                (x - half * 0.82, y - bend * 0.7),
                (x, y + 0.01),
                (x + half * 0.82, y - bend * 0.7),
                (x + half * 0.5, y + bend * 0.55),
                (x, y + bend * 0.95),
                (x - half * 0.5, y + bend * 0.55),
            ],
            (252, 250, 246),
        )
    else:
        pen.curve(
            [
                (x - half, y - bend),
                (x - half * 0.3, y - lip),
                (x, y - lip * 0.7),
                (x + half * 0.3, y - lip),
                (x + half, y - bend),
                (x, y + bend * 0.4 + lip * 1.5),
            ],
            red,
        )
        pen.line([(x - half, y - bend), (x, y + bend * 0.5), (x + half, y - bend)], 0.025, shade(red, 0.6))


def _beard(pen: Pen, traits: Traits, turn: float, face: Points) -> None:
    colour = mix(traits.hair_colour, traits.skin_colour, 0.62 if traits.beard == "stubble" else 0.08)
    x = turn * 1.1
    if traits.beard in ("stubble", "full"):
        jaw = face[(face[:, 1] > 0.14)] * (1.02, 1.03 if traits.beard == "stubble" else 1.1)
        left, right = jaw[np.argmin(jaw[:, 0])], jaw[np.argmax(jaw[:, 0])]
        ordered = jaw[np.argsort(-np.arctan2(jaw[:, 1] - 0.1, jaw[:, 0]))]
        inner = [(right[0] * 0.84, 0.3), (x + 0.36, 0.46), (x, 0.4), (x - 0.36, 0.46), (left[0] * 0.84, 0.3)]
        pen.polygon(np.concatenate([ordered, np.array(inner)]), colour)
    if traits.beard == "goatee":
        pen.curve([(x - 0.24, 0.7), (x, 0.66), (x + 0.24, 0.7), (x + 0.18, 1.0), (x, 1.1), (x - 0.18, 1.0)], colour)
    if traits.beard in ("moustache", "goatee"):
        pen.curve([(x - 0.32, 0.55), (x, 0.42), (x + 0.32, 0.55), (x, 0.52)], colour)


def _extras(pen: Pen, traits: Traits, shot: Shot, turn: float) -> None:
    if traits.mark > 0.55:
        pen.ellipse(turn + 0.36, 0.42, 0.03, 0.03, shade(traits.skin_colour, 0.5))
    elif traits.mark < -0.6:
        for dx, dy in ((-0.44, 0.22), (-0.34, 0.3), (-0.5, 0.33), (0.44, 0.22), (0.34, 0.3), (0.5, 0.33)):
            pen.ellipse(turn + dx, dy, 0.02, 0.02, shade(traits.skin_colour, 0.72))
    if traits.glasses == "none":
        return
    for side in (-1, 1):
        near = 1.0 - 0.22 * max(0.0, shot.yaw * side)
        x = turn + side * traits.eye_gap * 1.04 * near
        if traits.glasses == "round":
            pen.ring(x, -0.02, 0.25 * near, 0.22, 0.045, traits.glasses_colour)
        else:
            w = 0.26 * near
            corners = [
                (x - w, -0.2),
                (x + w, -0.2),
                (x + w * 0.9, 0.15),
                (x - w * 0.9, 0.15),
                (x - w, -0.2),
                (x + w, -0.2),
            ]
            pen.line(corners, 0.055, traits.glasses_colour)
        pen.line([(x + side * 0.24 * near, -0.06), (side * traits.width * 0.99, -0.1)], 0.04, traits.glasses_colour)
    pen.line([(turn - 0.09, -0.06), (turn + 0.09, -0.06)], 0.045, traits.glasses_colour)


def _light(image: Image.Image, shot: Shot) -> Image.Image:
    """Brightness, a side light across the picture and a warm or cold tint."""
    pixels = np.asarray(image, dtype=np.float32)
    across = np.linspace(1 - shot.side, 1 + shot.side, image.width, dtype=np.float32)[None, :, None]
    tint = np.array([1 + shot.warmth, 1.0, 1 - shot.warmth], dtype=np.float32)
    return Image.fromarray(np.clip(pixels * (across * (tint * np.float32(shot.light))), 0, 255).astype(np.uint8))


def draw_portrait(traits: Traits, shot: Shot, rng: np.random.Generator, longer: int) -> Image.Image:
    """The portrait as RGB; `longer` is the longer side in pixels. `rng` only strews the backdrop."""
    width, height = fit_size(shot.aspect, longer)
    big = (width * SUPERSAMPLE, height * SUPERSAMPLE)
    image = _backdrop(big, shot, rng)
    unit = min(big) * 0.31 * shot.scale
    centre = (big[0] / 2 + shot.shift[0] * unit, big[1] * 0.47 + shot.shift[1] * unit)
    body = Pen(image, centre, unit)
    pen = Pen(image, centre, unit, shot.roll)
    face = head_outline(traits)
    turn = 0.16 * shot.yaw

    draw_back(pen, traits, face, np.random.default_rng(int(1e6 * traits.width)))
    _bust(body, traits, shot)
    skin: Colour = traits.skin_colour
    for side in (-1, 1):
        if side * shot.yaw < 0.55:
            pen.ellipse(
                side * traits.width * 1.0 - turn * 0.3,
                0.06,
                traits.ears * 0.62,
                traits.ears,
                shade(skin, 0.9),
            )
            if traits.earrings:
                pen.ellipse(side * traits.width * 1.03 - turn * 0.3, 0.3, 0.055, 0.07, (240, 206, 96))
    pen.polygon(face, shade(skin, 0.9))
    pen.polygon(face * (0.955, 0.97) + (-0.03 if shot.side < 0 else 0.03, -0.012), skin)
    _beard(pen, traits, turn, face)
    _nose_and_mouth(pen, traits, shot, turn)
    _eyes(pen, traits, shot, turn)
    draw_front(pen, traits, face, turn, np.random.default_rng(int(1e6 * traits.width)))
    _extras(pen, traits, shot, turn)
    return _light(image.reduce(SUPERSAMPLE), shot)
