"""Which candidates are kept: rules that can be measured on the stored picture.

The rules are the same for everybody, and everybody's quota is filled exactly, with more candidates where many fail. So
no country and no gender loses weight to the filter, whatever it rejects.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from PIL import Image

from salmu_dataset.sources import Anchor, PortraitSource

#: Why a candidate is rejected, in the order the rules are tried.
REASONS: Final = ("size", "exposure", "contrast", "inconsistent", "duplicate")

#: Mean and standard deviation of luminance (0 to 255) of a usable photo.
EXPOSURE: Final = (60.0, 215.0)
CONTRAST: Final = 24.0
ASPECTS: Final = (0.5, 2.0)
#: Two portraits of a person are duplicates if at most so many of the 64 bits of their hashes differ.
DUPLICATE_BITS: Final = 4
_LARGE: Final = 192


def perceptual_hash(grey: Image.Image) -> int:
    """The 64-bit difference hash of a grey picture: whether each cell is brighter than its right neighbour."""
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(cells[:, :-1] > cells[:, 1:]).tobytes(), "big")


@dataclass
class Judge:
    """Judges one person's candidates one after the other."""

    source: PortraitSource
    anchor: Anchor
    size: int
    threshold: float
    _hashes: list[int] = field(default_factory=list)

    def reason(self, data: bytes) -> str | None:
        """Why the encoded candidate is rejected, or None if it is kept."""
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            low, high = ASPECTS
            if max(width, height) != self.size or width == height or not low <= width / height <= high:
                return "size"
            # The rules look at coarse features; decoding a quarter of the pixels of a large picture is faster.
            if self.size >= _LARGE:
                image.draft("RGB", (width // 2, height // 2))
            small = image.convert("RGB")
        grey = small.convert("L")
        light = np.asarray(grey, dtype=np.float32)
        if not EXPOSURE[0] <= float(light.mean()) <= EXPOSURE[1]:
            return "exposure"
        if float(light.std()) < CONTRAST:
            return "contrast"
        if self.source.consistency(self.anchor, small) < self.threshold:
            return "inconsistent"
        mark = perceptual_hash(grey)
        if any((mark ^ other).bit_count() <= DUPLICATE_BITS for other in self._hashes):
            return "duplicate"
        self._hashes.append(mark)
        return None
