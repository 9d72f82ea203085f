"""Encoded pictures, whoever made them, as images of 8 bits a channel: the one place that decodes what is not ours."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

from salmu_core.errors import PictureError

#: Decoders that are let near a file: others are seldom used, or start a program (EPS: Ghostscript).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
#: Of one picture: a few bytes can stand for gigabytes of pixels, and a member of an archive can be of any size.
MOST_PIXELS, MOST_BYTES = 80_000_000, 2**28
#: Modes of 16 bits a pixel, and those of which nobody can say which values are black and white.
_DEEP, _UNBOUNDED = ("I;16", "I;16L", "I;16B", "I;16N"), {"I": "32-bit whole", "F": "floating-point"}


@contextmanager
def opened(encoded: bytes | None, side: int | None = None) -> Iterator[Image.Image]:
    """A picture, decoded, for a block. Of 16 bits a pixel, which Pillow would cut off at 255, each is divided by 257.

    Args:
        encoded: Its file's content.
        side: Pixels that its sides need no more than; a JPEG is then decoded smaller. By default as it is.

    Raises:
        PictureError: It is no picture of `FORMATS`, damaged, too large, or its pixels are no levels of light.
    """
    if encoded is None:
        raise PictureError("the row has none")
    if len(encoded) > MOST_BYTES:
        raise PictureError(f"it has {len(encoded):,} bytes, more than the {MOST_BYTES:,} that are read")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage that is mended, and of a limit that is wider than ours
        try:
            image = _decoded(encoded, side)
        except (PictureError, MemoryError):
            raise
        except UnidentifiedImageError:
            raise PictureError(f"it is no picture, or of another format than {', '.join(FORMATS)}") from None
        except Exception as error:  # decoders raise whatever they like
            raise PictureError(str(error) or type(error).__name__) from error
    with image:
        yield image


def _decoded(encoded: bytes, side: int | None) -> Image.Image:
    image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    if image.width * image.height > MOST_PIXELS:
        raise PictureError(f"it has {image.width:,} x {image.height:,} pixels, more than the {MOST_PIXELS:,} allowed")
    deep = image.mode in _DEEP or (image.mode == "I" and image.format == "PNG")
    if image.mode in _UNBOUNDED and not deep:
        kind = _UNBOUNDED[image.mode]
        raise PictureError(f"its pixels are {kind} numbers, and nobody can say which is white: save it with 8 bits")
    if side is not None:
        image.draft("RGB", (side, side))
    image.load()
    return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8)) if deep else image
