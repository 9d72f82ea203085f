"""Pictures as people have them: of named formats, of a size that fits, and never brighter or darker than they are."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from salmu_core.benchmark.decoding import decode, transform_of
from salmu_core.benchmark.pixels import Pixels
from salmu_core.benchmark.rows import Rows
from salmu_core.clip import pictures
from salmu_core.clip.load import load_clip
from salmu_core.disk import notes
from salmu_core.errors import PictureError

RAMP = (np.add.outer(np.arange(32), np.arange(32)) * 1000 + 2000).astype(np.uint16)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rows(*encoded):
    names = tuple(f"{number}.png" for number in range(len(encoded)))
    return Rows("forget", names, ("1",) * len(names), names, list(encoded), "a content")


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_are_scaled_to_eight(tiny, kind):
    with pictures.opened(saved(Image.fromarray(RAMP), kind)) as image:
        levels = np.asarray(image.convert("RGB"))[..., 0]
    assert np.abs(levels - RAMP / 65535 * 255).max() <= 1
    seen = decode(rows(saved(Image.fromarray(RAMP), kind)), transform_of(load_clip(tiny / "compromised")), 0)
    assert seen.min() < 30 and seen.max() > 200


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.new("RGB", (9, 7), (10, 200, 30)), "jpeg"),
        (Image.new("CMYK", (9, 7), (10, 200, 30, 4)), "jpeg"),
        (Image.new("LA", (9, 7), (99, 128)), "png"),
        (Image.fromarray(np.arange(63, dtype=np.uint8).reshape(7, 9)).convert("P"), "gif"),
        (Image.new("1", (9, 7), 1), "bmp"),
        (Image.new("RGBA", (9, 7), (1, 2, 3, 4)), "webp"),
    ],
)
def test_others_are_what_pillow_makes_of_them(image, kind):
    encoded = saved(image, kind)
    with pictures.opened(encoded) as ours, Image.open(io.BytesIO(encoded)) as theirs:
        assert (np.asarray(ours.convert("RGB")) == np.asarray(theirs.convert("RGB"))).all()


def bomb(width, height):
    """A PNG that says it is large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(kind[4:], kind) for kind in (header, b"IDAT" + zlib.compress(b"0" * 99))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) for content, chunk in parts
    )


def no_picture(kind):
    match kind:
        case "eps":
            return saved(Image.new("RGB", (9, 9)), "eps")
        case "a page":
            return b"<html>404 not found</html>"
        case "cut":
            return saved(Image.fromarray(RAMP), "png")[:60]
        case "float":
            return saved(Image.fromarray(RAMP.astype(np.float32)), "tiff")
        case "whole numbers":
            return saved(Image.fromarray(RAMP.astype(np.int32)), "tiff")
        case "large":
            return bomb(12_000, 12_000)
        case "huge":
            return bomb(60_000, 60_000)
        case _:
            return None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("eps", "another format than BMP"),
        ("a page", "no picture"),
        ("cut", "can't be read"),
        ("float", "floating-point numbers"),
        ("whole numbers", "32-bit whole numbers"),
        ("large", "12,000 x 12,000 pixels"),
        ("huge", "can't be read"),
        ("nothing", "the row has none"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tiny, kind, why, recwarn):
    with pytest.raises(PictureError, match=why) as refused:
        decode(rows(no_picture(kind)), transform_of(load_clip(tiny / "compromised")), 0)
    assert "'0.png' of split forget" in str(refused.value) and "<_io" not in str(refused.value)
    assert not recwarn.list


def test_the_bytes_of_a_picture_are_bounded(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    with pytest.raises(PictureError, match="more than the 100"), pictures.opened(saved(Image.fromarray(RAMP), "png")):
        pass


def test_images_of_one_colour_are_said_whoever_decoded_them(tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path))
    monkeypatch.setattr(notes.LOG, "propagate", True)
    clip = load_clip(tiny / "compromised")
    own = rows(saved(Image.fromarray(RAMP), "png"), saved(Image.new("RGB", (9, 9), (3, 200, 9)), "png"))
    for _ in range(2):  # the second time from the cache
        monkeypatch.setattr(notes, "_said", set())
        caplog.clear()
        Pixels(own, clip)
        assert [r.getMessage() for r in caplog.records if "of one colour" in r.getMessage()] == [
            "1 of 2 images of forget are of one colour as the model sees them, '1.png' among them: was something saved "
            "wrongly?"
        ]
