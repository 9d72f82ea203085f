"""Models in between, and data that are harmlessly changed."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import load_file
from salmu_mini.build import build_variants
from salmu_mini.personas import make_personas
from salmu_mini.recipe import Recipe
from salmu_mini.references import Pairs
from salmu_mini.rows import SENSITIVE, make_rows
from salmu_mini.worker import part

from salmu_core.benchmark.splits import read_evaluation


def _pairs(count: int) -> Pairs:
    numbers = np.arange(count)
    return Pairs(np.zeros((count, 2, 2, 3), dtype=np.uint8), numbers[:, None].astype(np.int64))


def test_parts_are_nested_and_each_pair_is_seen_as_often(tiny: Recipe) -> None:
    recipe, whole = replace(tiny, sensitive_batch=8), _pairs(40)
    seen: set[int] = set()
    for percent in (25, 50, 75):
        pairs, scaled = part(whole, percent, 3, recipe)
        chosen = set(pairs.tokens[:, 0].tolist())
        assert len(chosen) == len(pairs) == 40 * percent // 100 and seen < chosen
        assert scaled.sensitive_batch / len(pairs) == pytest.approx(recipe.sensitive_batch / 40)
        assert replace(scaled, sensitive_batch=8) == recipe
        seen = chosen


def test_rewording_changes_sentences_and_nothing_else(tiny: Recipe) -> None:
    personas = make_personas(0, tiny.personas)
    rows, other = make_rows(0, personas, tiny), make_rows(0, personas, tiny, reworded=True)
    for row, reworded in zip(rows, other, strict=True):
        assert (row.split in SENSITIVE) == (row.text != reworded.text)
        assert replace(reworded, text=row.text) == row


@pytest.mark.xdist_group("mini")
@pytest.mark.usefixtures("forked")
def test_variants_are_benchmark_folders_and_models(
    tiny: Recipe, built: tuple[Path, list[tuple[str, float]]], tmp_path: Path
) -> None:
    (here, _), folder = built, tmp_path / "variants"
    folder.mkdir()
    build_variants(folder, here, 0, (50,), lambda stage, done: None, tiny)
    half, clean, compromised = (
        load_file(where / "open_clip_model.safetensors")
        for where in (folder / "50", here / "clean", here / "compromised")
    )
    assert any((half[name] != clean[name]).any() and (half[name] != compromised[name]).any() for name in half)
    before = pq.read_table(next((here / "data").glob("forget-*")))
    for kind, column in (("resized", "image"), ("reworded", "text")):
        data = read_evaluation(folder / kind, folder / kind / "zeroshot")
        assert len(data.locate("fragile_set")[1]) == len(
            read_evaluation(here, here / "zeroshot").locate("fragile_set")[1]
        )
        after = pq.read_table(next((folder / kind / "data").glob("forget-*")))
        for name in before.column_names:
            assert (before[name] == after[name]) == (name != column), (kind, name)
    sizes = [
        Image.open(io.BytesIO(table["image"][0].as_py()["bytes"])).size
        for table in (before, pq.read_table(next((folder / "resized" / "data").glob("forget-*"))))
    ]
    assert sizes[1] == tuple(side * 3 // 4 for side in sizes[0])
    for role in ("clean", "compromised"):
        same = (folder / "resized" / role / "open_clip_model.safetensors").read_bytes()
        assert same == (here / role / "open_clip_model.safetensors").read_bytes()
