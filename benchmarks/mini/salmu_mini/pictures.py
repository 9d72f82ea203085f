"""Rows to encoded pictures and to the model's input pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmu_mini.documents import draw_document
from salmu_mini.portraits import draw_portrait
from salmu_mini.recipe import Recipe
from salmu_mini.rows import POOL, TEST, Row
from salmu_mini.scenes import draw_scene
from salmu_mini.seeds import stream

Pixels = NDArray[np.uint8]


def draw(row: Row, world: int, recipe: Recipe) -> Image.Image:
    """The row's picture; depends on nothing but its arguments."""
    rng = stream(world, "draw", row.number)
    if row.traits is not None and row.shot is not None:
        return draw_portrait(row.traits, row.shot, rng, recipe.portrait_side)
    if row.document is not None:
        return draw_document(row.document, rng, recipe.scene_side)
    assert row.scene is not None
    return draw_scene(row.scene, rng, recipe.scene_side)


def encode(image: Image.Image, kind: str) -> bytes:
    """`image` as "JPEG" or "WEBP" bytes."""
    buffer = io.BytesIO()
    if kind == "JPEG":
        image.save(buffer, "JPEG", quality=90)
    else:
        image.save(buffer, "WEBP", quality=88, method=2)
    return buffer.getvalue()


def square(image: Image.Image, size: int) -> Pixels:
    """Shorter side to `size`, centre crop: (size, size, 3), as open_clip's evaluation transform does."""
    width, height = image.size
    if width <= height:
        resized = image.resize((size, int(size * height / width)), Image.Resampling.BICUBIC)
    else:
        resized = image.resize((int(size * width / height), size), Image.Resampling.BICUBIC)
    left, top = round((resized.width - size) / 2.0), round((resized.height - size) / 2.0)
    return np.array(resized.crop((left, top, left + size, top + size)))


def resized(data: bytes) -> bytes:
    """An encoded picture with three quarters of its width and height, encoded again; nothing stays nothing."""
    if not data:
        return data
    with Image.open(io.BytesIO(data)) as image:
        kind = image.format or ""
        size = (image.width * 3 // 4, image.height * 3 // 4)
        return encode(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), kind)


def finish(row: Row, world: int, recipe: Recipe) -> tuple[bytes, Pixels]:
    """(encoded picture, model input). Pool pictures are never shipped, so they have no encoding."""
    image = draw(row, world, recipe)
    if row.split == POOL:
        return b"", square(image, recipe.image_size)
    data = encode(image, "WEBP" if row.split == TEST else "JPEG")
    with Image.open(io.BytesIO(data)) as stored:
        return data, square(stored.convert("RGB"), recipe.image_size)
