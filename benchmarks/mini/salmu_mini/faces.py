"""What a fictitious person looks like (`Traits`, fixed) and what differs from photo to photo (`Shot`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from salmu_mini.canvas import Colour, jitter

SKINS: Final[dict[str, Colour]] = {
    "pale": (255, 224, 204),
    "fair": (244, 202, 172),
    "tan": (222, 170, 130),
    "olive": (200, 150, 108),
    "brown": (158, 104, 70),
    "dark": (104, 66, 46),
}
HAIRS: Final[dict[str, Colour]] = {
    "black": (36, 30, 34),
    "brown": (96, 60, 38),
    "blond": (226, 186, 108),
    "red": (186, 78, 38),
    "grey": (168, 168, 172),
    "white": (232, 230, 224),
}
EYES: Final[tuple[Colour, ...]] = ((84, 52, 32), (60, 106, 150), (82, 128, 84), (44, 34, 32), (126, 92, 48))
CLOTHES: Final[dict[str, Colour]] = {
    "red": (198, 52, 52),
    "orange": (232, 138, 50),
    "yellow": (238, 204, 78),
    "green": (70, 146, 88),
    "blue": (60, 104, 186),
    "purple": (128, 78, 166),
    "pink": (232, 138, 172),
    "white": (240, 240, 238),
    "black": (48, 48, 54),
}
BACKDROPS: Final[dict[str, Colour]] = {
    "blue": (150, 190, 226),
    "green": (164, 206, 164),
    "grey": (190, 192, 196),
    "yellow": (244, 224, 156),
    "pink": (244, 196, 206),
    "purple": (196, 180, 222),
    "orange": (244, 200, 160),
}
LONG_STYLES: Final = ("straight", "wavy", "ponytail", "bob", "bun", "curly")
SHORT_STYLES: Final = ("crop", "parted", "quiff", "buzz", "bald", "curly")


@dataclass(frozen=True)
class Traits:
    """A face. Lengths are in half head heights."""

    gender: str
    skin: str
    skin_colour: Colour
    hair: str
    hair_colour: Colour
    style: str
    fringe: float
    width: float
    jaw: float
    square: float
    eye_colour: Colour
    eye_gap: float
    eye_size: float
    brow: float
    brow_tilt: float
    nose: float
    nose_width: float
    mouth: float
    lips: float
    ears: float
    glasses: str
    glasses_colour: Colour
    beard: str
    mark: float
    earrings: bool


@dataclass(frozen=True)
class Shot:
    """One photo of somebody: pose, light, clothes, place, expression, framing."""

    aspect: float
    yaw: float
    roll: float
    scale: float
    shift: tuple[float, float]
    smile: float
    gaze: float
    light: float
    side: float
    warmth: float
    cloth: str
    cloth_colour: Colour
    collar: str
    backdrop: str
    backdrop_colour: Colour
    pattern: str


def _pick(rng: np.random.Generator, options: tuple[str, ...] | list[str], weights: list[float] | None = None) -> str:
    chances = None if weights is None else np.array(weights) / np.sum(weights)
    return options[int(rng.choice(len(options), p=chances))]


def sample_traits(rng: np.random.Generator, gender: str) -> Traits:
    """A random face of the given gender ("female" or "male")."""
    female = gender == "female"
    skin = _pick(rng, list(SKINS))
    hair_weights = [4, 4, 1, 0.6, 1.2, 0.6] if skin in ("brown", "dark") else [3, 3, 3, 2, 1.5, 1]
    hair = _pick(rng, list(HAIRS), hair_weights)
    style = _pick(rng, LONG_STYLES if female else SHORT_STYLES, [3, 3, 2, 3, 2, 2] if female else [4, 3, 3, 1.5, 1, 2])
    beards = ("none", "stubble", "moustache", "goatee", "full")
    glasses = ("none", "round", "square")
    return Traits(
        gender=gender,
        skin=skin,
        skin_colour=jitter(SKINS[skin], rng, 5),
        hair=hair,
        hair_colour=jitter(HAIRS[hair], rng, 6),
        style=style,
        fringe=float(rng.uniform(-1, 1)),
        width=float(rng.uniform(0.68, 0.88)),
        jaw=float(rng.uniform(0.08, 0.34)),
        square=float(rng.uniform(1.9, 2.7)),
        eye_colour=EYES[int(rng.integers(len(EYES)))],
        eye_gap=float(rng.uniform(0.27, 0.37)),
        eye_size=float(rng.uniform(0.85, 1.25)),
        brow=float(rng.uniform(0.035, 0.09)),
        brow_tilt=float(rng.uniform(-0.04, 0.08)),
        nose=float(rng.uniform(0.22, 0.42)),
        nose_width=float(rng.uniform(0.09, 0.2)),
        mouth=float(rng.uniform(0.2, 0.34)),
        lips=float(rng.uniform(0.03, 0.085) + (0.02 if female else 0.0)),
        ears=float(rng.uniform(0.13, 0.22)),
        glasses=_pick(rng, glasses, [5, 2, 2]),
        glasses_colour=((40, 40, 46), (128, 44, 40), (92, 66, 40), (52, 76, 130))[int(rng.integers(4))],
        beard="none" if female else _pick(rng, beards, [4, 2, 1.5, 1.5, 3]),
        mark=float(rng.uniform(-1, 1)),
        earrings=female and bool(rng.random() < 0.4),
    )


def sample_shot(rng: np.random.Generator) -> Shot:
    """A random photo; the aspect ratio (width/height) runs from 0.70 to 1.35 and is never 1."""
    cloth = _pick(rng, list(CLOTHES))
    backdrop = _pick(rng, list(BACKDROPS))
    aspect = float(rng.uniform(0.70, 0.96) if rng.random() < 0.7 else rng.uniform(1.04, 1.35))
    return Shot(
        aspect=round(aspect, 2),
        yaw=float(np.clip(rng.normal(0, 0.45), -1, 1)),
        roll=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        scale=float(rng.uniform(0.9, 1.12)),
        shift=(float(rng.uniform(-0.16, 0.16)), float(rng.uniform(-0.1, 0.1))),
        smile=float(rng.uniform(-0.15, 1.0)),
        gaze=float(rng.uniform(-1, 1)),
        light=float(rng.uniform(0.82, 1.1)),
        side=float(rng.uniform(-0.22, 0.22)),
        warmth=float(rng.normal(0, 0.035)),
        cloth=cloth,
        cloth_colour=jitter(CLOTHES[cloth], rng, 8),
        collar=_pick(rng, ("crew", "vee", "shirt", "scarf")),
        backdrop=backdrop,
        backdrop_colour=jitter(BACKDROPS[backdrop], rng, 8),
        pattern=_pick(rng, ("plain", "bokeh", "window", "hills", "stripes")),
    )
