"""The reader, held against the files as pyarrow and json read them."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from salmu_core.benchmark.pixels import Pixels
from salmu_core.benchmark.splits import read_evaluation, read_training
from salmu_core.benchmark.writer import write_json
from salmu_core.clip.load import load_clip
from salmu_core.contract import layout
from salmu_core.errors import BenchmarkError


def raw(folder, split):
    return pa.concat_tables([pq.read_table(p) for p in sorted((folder / "data").glob(f"{split}-*"))]).to_pylist()


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


def test_derived_splits_follow_the_rules(tiny):
    data = read_evaluation(tiny, tiny / "zeroshot")
    forget, retain = raw(tiny, "forget"), raw(tiny, "retain_synth")
    half = {r["identity_id"] for r in raw(tiny, "holdout_association")}
    fragile = set(json.loads((tiny / layout.FRAGILE_IDS).read_text()))
    expected = {
        "forget": [r["file_name"] for r in forget],
        "forget_identity": [r["file_name"] for r in forget if r["identity_id"] not in half],
        "forget_association": [r["file_name"] for r in forget if r["identity_id"] in half],
        "retain_joint": [r["file_name"] for r in retain if r["identity_id"] in {f["identity_id"] for f in forget}],
        "retain_disjoint": [r["file_name"] for r in retain if r["identity_id"] is None],
        "fragile_set": [r["file_name"] for r in retain if r["identity_id"] is None and r["file_name"] in fragile],
        "holdout_identity": [r["file_name"] for r in raw(tiny, "holdout_identity")],
    }
    for split, names in expected.items():
        rows, index = data.locate(split)
        assert [rows.file_names[i] for i in index] == names and names, split


def test_the_leaves_are_a_partition(tiny):
    data = read_evaluation(tiny, tiny / "zeroshot")
    seen = [(base, int(i)) for base, index in data.leaves.values() for i in index]
    assert len(seen) == len(set(seen)) == sum(len(rows) for rows in data.base.values())


def test_training_opens_no_file_of_the_holdouts(copy):
    for path in [*(copy / "data").glob("holdout*"), copy / layout.FRAGILE_IDS]:
        path.unlink()
    shutil.rmtree(copy / "clean")
    shutil.rmtree(copy / "zeroshot")
    data = read_training(copy)
    assert data.forget.captions == tuple(r["text"] for r in raw(copy, "forget"))
    generic = json.loads((copy / layout.GENERIC_CAPTIONS).read_text())
    assert data.asked.generic_captions == tuple(generic[name] for name in data.forget.file_names)


def test_a_request_says_whom_each_row_names_and_what_it_tells(copy):
    """As CoreAssoc asks for it: the person's entry for the row's field, of a list the first, else the caption's own."""
    people, captions = (json.loads((copy / name).read_text()) for name in (layout.IDENTITIES, layout.CAPTIONS_METADATA))
    first, second, third, *_ = raw(copy, "forget")
    for row, entry in ((first, ["a list", "of two"]), (second, None), (third, None)):
        people[row["identity_id"]][captions[row["file_name"]]["data_field"]] = entry
    captions[second["file_name"]]["value"] = "of its own"
    write_json(copy / layout.IDENTITIES, people)
    write_json(copy / layout.CAPTIONS_METADATA, captions)
    asked = read_training(copy).asked
    rows = [(people[row["identity_id"]], captions[row["file_name"]]["data_field"]) for row in raw(copy, "forget")]
    assert asked.names == tuple(person["name"] for person, _ in rows)
    assert asked.fields == tuple(field for _, field in rows)
    assert asked.values[:3] == ("a list", "of its own", None)
    assert asked.values[3:] == tuple(person[field] for person, field in rows[3:])


@pytest.mark.parametrize(
    ("missing", "known"),
    [
        ((layout.IDENTITIES, layout.CAPTIONS_METADATA), (0, 0, 0)),
        ((layout.IDENTITIES,), (0, 16, 16)),
        ((layout.CAPTIONS_METADATA,), (16, 0, 0)),
    ],
)
def test_a_request_says_no_more_than_the_files_do(copy, missing, known):
    for name in missing:
        (copy / name).unlink()
    asked = read_training(copy).asked
    assert (len(asked.names), len(asked.fields), len(asked.values)) == known and len(asked) == 16
    assert layout.IDENTITIES not in missing or set(asked.values) <= {None}


def test_pixels_are_what_open_clip_would_see(tiny):
    import io

    import open_clip

    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny / 'compromised'}")
    clip = load_clip(tiny / "compromised")
    rows = read_training(tiny).forget
    pixels = Pixels(rows, clip)
    ours = clip.normalize(pixels(np.array([3, 0, 3])))
    for ours_one, i in zip(ours, (3, 0, 3), strict=True):
        theirs = preprocess(Image.open(io.BytesIO(rows.encoded[i])))
        assert (ours_one - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "CMYK"])
def test_images_of_any_mode_are_read_as_open_clip_reads_them(tiny, mode):
    import open_clip

    _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny / 'compromised'}")
    clip = load_clip(tiny / "compromised")
    noise = np.random.default_rng(0).integers(0, 256, (20, 33, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    import torch

    assert (clip.normalize(torch.from_numpy(clip.to_pixels(image))) - preprocess(image)).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: next((f / "data").glob("forget-*")).unlink(), "no forget-"),
        (lambda f: next((f / "data").glob("forget-*")).write_bytes(b"PAR1 no"), "can't be read"),
        (lambda f: (f / layout.GENERIC_CAPTIONS).unlink(), "is missing"),
        (lambda f: (f / layout.GENERIC_CAPTIONS).write_text("{"), "can't be read"),
        (lambda f: (f / layout.GENERIC_CAPTIONS).write_text("{}"), "no caption for"),
        (lambda f: (f / layout.GENERIC_CAPTIONS).write_text("[]"), "holds a list"),
        (
            lambda f: (f / "data" / "forget-00000-of-00001.parquet").rename(
                f / "data" / "forget-00000-of-00002.parquet"
            ),
            "has 1 shards",
        ),
    ],
)
def test_damage_is_named(copy, damage, words):
    damage(copy)
    with pytest.raises(BenchmarkError, match=words):
        read_training(copy)


def test_an_undecodable_image_is_named(copy):
    path = next((copy / "data").glob("forget-*"))
    table = pq.read_table(path)
    images = table["image"].to_pylist()
    images[0]["bytes"] = b"not an image"
    index = table.column_names.index("image")
    pq.write_table(table.set_column(index, "image", pa.array(images, table.schema.field("image").type)), path)
    rows = read_training(copy).forget
    with pytest.raises(BenchmarkError, match=rows.file_names[0]):
        Pixels(rows, load_clip(copy / "compromised"))(np.array([0]))


def test_a_derived_split_without_rows_is_a_sentence(copy):
    (copy / layout.FRAGILE_IDS).write_text("[]")
    data = read_evaluation(copy, copy / "zeroshot")
    with pytest.raises(BenchmarkError, match="fragile_set has no rows"):
        data.names("fragile_set")
