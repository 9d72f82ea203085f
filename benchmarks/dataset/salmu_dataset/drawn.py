"""Portraits drawn by the embedded benchmark's renderer: no model, no download, some 200 a second and core."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from salmu_mini.captions import portrait_caption
from salmu_mini.faces import BACKDROPS, CLOTHES, Shot, Traits, sample_shot, sample_traits
from salmu_mini.portraits import draw_portrait
from salmu_mini.seeds import stream

from salmu_dataset.identities import Identity
from salmu_dataset.sources import Anchor, Portrait, Settings, only_known

#: How an anchor is photographed: from the front, evenly lit, before a grey wall.
FRONTAL: Final = Shot(
    aspect=0.8,
    yaw=0.0,
    roll=0.0,
    scale=1.0,
    shift=(0.0, 0.0),
    smile=0.3,
    gaze=0.0,
    light=1.0,
    side=0.0,
    warmth=0.0,
    cloth="white",
    cloth_colour=CLOTHES["white"],
    collar="crew",
    backdrop="grey",
    backdrop_colour=BACKDROPS["grey"],
    pattern="plain",
)
#: Largest distance between chromaticities that still are the same skin.
_SAME_SKIN: Final = 0.024


class DrawnPortraits:
    """The default: a face is a few dozen traits, a portrait one of endless shots of it."""

    def __init__(self, settings: Settings) -> None:
        only_known(settings.options, (), "drawn portraits")
        self._seed, self._size = settings.seed, settings.size

    def _traits(self, identity: Identity) -> Traits:
        return sample_traits(stream(self._seed, "face", identity.number), identity.gender)

    def anchor(self, identity: Identity, rng: np.random.Generator) -> Anchor:
        """The person from the front."""
        return Anchor(identity, draw_portrait(self._traits(identity), FRONTAL, rng, self._size))

    def portrait(self, anchor: Anchor, number: int) -> Portrait:
        """The person in another pose, light, dress, place and format."""
        traits = self._traits(anchor.identity)
        rng = stream(self._seed, "portrait", anchor.identity.number, number)
        shot = sample_shot(rng)
        caption = portrait_caption(traits, shot, rng)
        return Portrait(draw_portrait(traits, shot, rng, self._size), caption)

    def consistency(self, anchor: Anchor, image: Image.Image) -> float:
        """Share of the middle of the picture that has the skin colour of the anchor's face, against the anchor's own.

        Colour is taken as chromaticity, so that light alone changes nothing. A face that is out of the frame, turned
        far, tinted or somebody else's of another complexion comes out low.
        """
        own, skin = _middle(anchor.image), _skin(anchor.image)
        reference = _share_of(own, skin)
        return min(1.0, _share_of(_middle(image), skin) / max(reference, 1e-6))


def _middle(image: Image.Image) -> NDArray[np.float32]:
    """Chromaticities (n, 2) of the pixels where a face is expected."""
    width, height = image.size
    half, centre = 0.17 * min(width, height), (width / 2, 0.47 * height + 0.06 * min(width, height))
    box = (round(centre[0] - half), round(centre[1] - half), round(centre[0] + half), round(centre[1] + half))
    pixels = np.asarray(image.resize((24, 24), Image.Resampling.BOX, box=box), dtype=np.float32).reshape(-1, 3)
    chroma: NDArray[np.float32] = pixels[:, :2] / np.maximum(pixels.sum(axis=1, keepdims=True), 1.0)
    return chroma


def _skin(anchor: Image.Image) -> NDArray[np.float32]:
    """Chromaticity (2,) of the anchor's skin: the median where a face hardly shows anything else."""
    skin: NDArray[np.float32] = np.median(_middle(anchor), axis=0)
    return skin


def _share_of(chroma: NDArray[np.float32], skin: NDArray[np.float32]) -> float:
    return float((np.linalg.norm(chroma - skin, axis=1) < _SAME_SKIN).mean())
