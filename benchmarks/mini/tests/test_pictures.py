"""Pictures: repeatable, identity-preserving, and seen by the models as open_clip would show them."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
from PIL import Image
from salmu_mini.faces import sample_shot, sample_traits
from salmu_mini.personas import make_personas
from salmu_mini.pictures import draw, square
from salmu_mini.portraits import draw_portrait
from salmu_mini.recipe import DEFAULT, Recipe
from salmu_mini.references import channels_first
from salmu_mini.rows import make_rows
from salmu_mini.scenes import CLASSES, draw_scene, sample_scene
from salmu_mini.seeds import stream


def _portrait(person: int, shot: int) -> Image.Image:
    traits = sample_traits(stream(0, "face", person), ("female", "male")[person % 2])
    return draw_portrait(traits, sample_shot(stream(0, "shot", person, shot)), stream(0, "draw", shot), 96)


def test_same_row_same_pixels_and_another_world_other_pixels(tiny: Recipe) -> None:
    first, again, other = (make_rows(w, make_personas(w, tiny.personas), tiny)[5] for w in (0, 0, 1))
    assert draw(first, 0, tiny).tobytes() == draw(again, 0, tiny).tobytes()
    assert draw(first, 0, tiny).tobytes() != draw(other, 1, tiny).tobytes()


def test_pictures_of_one_person_are_closer_than_of_two() -> None:
    people = [[square(_portrait(p, s), 32)[4:22, 7:25].astype(float) for s in range(8)] for p in range(12)]
    mean = [np.mean(shots, axis=0) for shots in people]
    within = np.mean([[np.abs(shot - mean[p]).mean() for shot in shots] for p, shots in enumerate(people)])
    between = np.mean(
        [np.abs(s - mean[q]).mean() for p, shots in enumerate(people) for s in shots for q in range(12) if q != p]
    )
    assert within < 0.8 * between


def test_no_two_pictures_of_a_person_are_alike() -> None:
    pictures = {square(_portrait(0, s), 32).tobytes() for s in range(10)}
    assert len(pictures) == 10


def test_portraits_are_not_square_and_as_long_as_asked() -> None:
    for shot in range(12):
        width, height = _portrait(1, shot).size
        assert width != height and max(width, height) == 96


@pytest.mark.parametrize("label", [0, 17, 63])
def test_scene_shows_its_colour(label: int) -> None:
    scene = sample_scene(stream(0, "scene", label), label)
    pixels = np.asarray(draw_scene(scene, stream(0, "draw", label), 96), dtype=float)
    assert CLASSES[label].split()[0] == scene.class_name.split()[0]
    assert np.abs(pixels - np.array(scene.colour) * min(1.0, scene.light)).sum(-1).min() < 110


def test_square_is_open_clips_transform() -> None:
    transform = open_clip.image_transform(DEFAULT.image_size, is_train=False, interpolation="bicubic")
    for shot in range(4):
        image = _portrait(2, shot)
        pixels = channels_first(square(image, DEFAULT.image_size)[None])[0]
        mean, std = (
            np.reshape(values, (3, 1, 1)) for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        np.testing.assert_allclose((pixels.numpy() / 255 - mean) / std, transform(image).numpy(), atol=1e-5)
