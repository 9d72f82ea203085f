"""Pictures for `retain_synth` that show nobody of the data set: strangers, and things in places.

They are drawn by the embedded benchmark's renderer, whatever the portraits come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from salmu_mini.captions import portrait_caption, scene_caption
from salmu_mini.faces import sample_shot, sample_traits
from salmu_mini.pictures import encode
from salmu_mini.portraits import draw_portrait
from salmu_mini.scenes import CLASSES, PLACES, draw_scene, sample_scene
from salmu_mini.seeds import stream

from salmu_dataset.workshop import Picture, Workshop, write_pictures

#: Pictures a unit.
BLOCK: Final = 250
#: Where the numbers in the file names of pictures without identity begin.
BASE: Final = 10_000_000


def blocks(shop: Workshop) -> Sequence[int]:
    """Numbers of the units."""
    return range(-(-(shop.totals.strangers + shop.totals.scenes) // BLOCK))


def make_block(shop: Workshop, number: int) -> None:
    """Draw one unit: strangers first, then scenes."""
    last = min((number + 1) * BLOCK, shop.totals.strangers + shop.totals.scenes)
    pictures = [_picture(shop, n) for n in range(number * BLOCK, last)]
    write_pictures(shop.unit("retain", number, "parquet"), pictures)


def _picture(shop: Workshop, number: int) -> Picture:
    rng, size = stream(shop.arguments.seed, "retain", number), shop.arguments.size
    if number < shop.totals.strangers:
        traits = sample_traits(rng, ("female", "male")[number % 2])
        shot = sample_shot(rng)
        caption = portrait_caption(traits, shot, rng)
        return Picture(number, encode(draw_portrait(traits, shot, rng, size), "JPEG"), caption)
    scene = sample_scene(rng, (number - shop.totals.strangers) % len(CLASSES))
    caption = scene_caption(scene.class_name, PLACES[scene.place], scene.size, rng)
    return Picture(number, encode(draw_scene(scene, rng, size), "JPEG"), caption)
