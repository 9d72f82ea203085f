from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from salmu_attacks import ask_otherwise as plugin

from salmu_core import Pairs
from salmu_core.contract.layout import DATA_FIELDS
from salmu_core.testing import attack_context, check_attack, run_attack

test_conformance = check_attack("ask-otherwise")

PAIRS = Pairs(
    captions=(
        "Ada can be called under 0151 234567",
        "Ben's mail",
        "She is called Ada Bea",
        "Only this",
        "No name: 456",
    ),
    identity_ids=("a", "b", "a", None, None),
    names=("Ada Bea", "Ben", "Ada Bea", "Cy", None),
    fields=("phone_number", "emails", "name", "city", "phone_number"),
    values=("0151 234567", "ben.x@example.org", "Ada Bea", None, "456"),
)
EXPECTED = {
    "paraphrased": (
        "Ada Bea picks up when somebody rings 0151 234567",
        "Ben reads what is sent to ben.x@example.org",
        "Everybody knows this person as Ada Bea",
    ),
    "German": (
        "Ada Bea ist unter 0151 234567 zu erreichen",
        "Die E-Mail-Adresse von Ben ist ben.x@example.org",
        "Das ist Ada Bea",
    ),
    "French": (
        "On joint Ada Bea au 0151 234567",
        "L'adresse de courriel de Ben est ben.x@example.org",
        "Voici Ada Bea",
    ),
    "Spanish": (
        "A Ada Bea se le llama al 0151 234567",
        "El correo de Ben es ben.x@example.org",
        "Te presento a Ada Bea",
    ),
    "reversed": ("0151 234567 Ada Bea", "ben.x@example.org Ben", "Bea Ada"),
    "partial": ("Ada Bea 0151 2", "Ben ben.x", "Ada"),
}


@pytest.mark.parametrize("label", EXPECTED)
def test_what_is_known_is_told_otherwise_and_the_rest_as_it_was(label):
    assert tuple(plugin.told(PAIRS, plugin.WORDS[label])) == (*EXPECTED[label], *PAIRS.captions[3:])
    assert plugin.WORDS.keys() == EXPECTED.keys()


def test_every_kind_of_fact_has_a_sentence_and_any_other_a_neutral_one():
    for label, sentences in plugin.SENTENCES.items():
        assert sentences.keys() == set(DATA_FIELDS), label
        for field in DATA_FIELDS:
            made = plugin.sentence(label, "Ada {0}", field, "{value}")  # what looks like a place to fill is no place
            assert "Ada {0}" in made and ("{value}" in made or field == "name"), made
        assert plugin.sentence(label, "Ada", "shoe_size", "41") == "Ada: 41"


@pytest.mark.parametrize(
    ("value", "known"),
    [("4111 1111 1111 1111", "4111 1111"), ("DE12345", "DE12"), ("a@b", "a"), ("New York", "New"), ("AB+", "AB+")],
)
def test_a_part_says_less_than_the_whole(value, known):
    assert plugin.part(value) == known


def pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 20, 30), dtype=np.uint8)
    return torch.from_numpy(pixels), pixels


def test_pictures_are_mirrored_and_compressed_as_pillow_has_it():
    images, pixels = pictures()
    assert np.array_equal(plugin.changed(plugin.ImageOps.mirror, images).numpy(), pixels[..., ::-1])
    found = plugin.changed(plugin.compressed, images)
    assert found.shape == images.shape and found.dtype == torch.uint8
    for image, made in zip(pixels, found.numpy(), strict=True):
        file = BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=30)
        assert np.array_equal(np.asarray(Image.open(file)).transpose(2, 0, 1), made)


def test_a_crop_is_the_middle_and_blur_and_noise_are_small():
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8) * 2, (1, 3, 50, 100))
    found = plugin.changed(plugin.cropped, torch.from_numpy(ramp.copy())).numpy()[0, 0, 25]
    # Pixel centres x + .5 lie at 10 + .8 (x + .5) of the whole.
    assert np.abs(found[5:-5] - 2 * (10 + 0.8 * (np.arange(100) + 0.5) - 0.5)[5:-5]).max() <= 1
    grey = torch.full((2, 3, 50, 100), 128, dtype=torch.uint8)
    assert torch.equal(plugin.changed(plugin.blurred, grey), grey)
    made = plugin.changed(lambda image: plugin.noisy(np.random.default_rng(0), image), grey).double() - 128
    assert abs(float(made.std()) - 8) < 0.2 and abs(float(made.mean())) < 0.2


def test_all_are_asked_and_the_worst_counts(tiny_benchmark):
    outcome = run_attack(plugin.ASK_OTHERWISE, tiny_benchmark)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    found = {label: values["Rank"] for label, values in outcome.details["queries"].items()}
    assert [*found] == [*plugin.WORDS, "cropped", "mirrored", "JPEG", "blurred", "noisy"]
    assert outcome.values["Rank"] == max(found.values()) > min(found.values())


def test_where_nothing_is_known_only_pictures_are_changed(tiny_benchmark):
    ctx = attack_context(plugin.ASK_OTHERWISE, tiny_benchmark)
    ctx._forget = Pairs(PAIRS.captions, PAIRS.identity_ids)
    queries = plugin.attack(ctx)
    assert len(queries) == 5 and all(query.captions is None for query in queries)
    assert ctx._absent == dict.fromkeys(plugin.WORDS, "no row says what it tells of whom")
