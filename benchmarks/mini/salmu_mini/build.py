"""Builds the whole benchmark folder: world, pictures, both models, metadata."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salmu_core import Progress, write_json
from salmu_core import layout as released
from salmu_mini import children, fragile, layout
from salmu_mini.personas import make_personas
from salmu_mini.pictures import resized
from salmu_mini.recipe import DEFAULT, Recipe
from salmu_mini.references import Pairs, tokenize
from salmu_mini.rows import POOL, SENSITIVE, Row, make_rows
from salmu_mini.worker import drawn, write_job

#: Shares the drawing is cut into; fixed, and each is independent of the others.
DRAWING_SHARES = 2


def build(folder: Path, world: int, progress: Progress, recipe: Recipe = DEFAULT) -> None:
    """Writes the benchmark of seed `world` into the empty `folder`: the same world gives the same bytes.

    `progress` is called with the stage and the fraction of the whole that is done.
    """
    progress("inventing people", 0.0)
    personas = make_personas(world, recipe.personas)
    rows = make_rows(world, personas, recipe)
    with tempfile.TemporaryDirectory(prefix="salmu-mini-") as name:
        scratch = Path(name)
        write_job(scratch, world, recipe)
        pictures, pixels = _draw(scratch, recipe, rows, progress)
        layout.write_layout(folder, personas, rows, pictures)
        pairs = Pairs(pixels, tokenize([row.text for row in rows], recipe))
        _train(scratch, rows, pairs, progress)
        _fragile(scratch, folder, recipe, rows)
        for which in ("clean", "compromised"):
            shutil.copytree(scratch / which, folder / which)
    progress("done", 1.0)


def build_variants(
    folder: Path, built: Path, world: int, percents: Sequence[int], progress: Progress, recipe: Recipe = DEFAULT
) -> None:
    """What a study of the metrics needs beside a world: models in between, and the data harmlessly changed.

    Writes `folder/25` and so on, models that saw this percentage of the sensitive pairs; and `folder/resized` and
    `folder/reworded`, benchmark folders with the reference models of the world in `built`.
    """
    personas = make_personas(world, recipe.personas)
    rows = make_rows(world, personas, recipe)
    with tempfile.TemporaryDirectory(prefix="salmu-mini-") as name:
        scratch = Path(name)
        write_job(scratch, world, recipe)
        pictures, pixels = _draw(scratch, recipe, rows, progress)
        _train(
            scratch, rows, Pairs(pixels, tokenize([row.text for row in rows], recipe)), progress, [*map(str, percents)]
        )
        for percent in percents:
            shutil.copytree(scratch / str(percent), folder / str(percent))
    reworded = make_rows(world, personas, recipe, reworded=True)
    for kind, members, images in (
        ("resized", rows, [resized(picture) for picture in pictures]),
        ("reworded", reworded, pictures),
    ):
        layout.write_layout(folder / kind, personas, members, images)
        for file in (released.FRAGILE_IDS, released.FRAGILE_SIMILARITIES):
            shutil.copy(built / file, folder / kind / file)
        for role in ("clean", "compromised"):
            shutil.copytree(built / role, folder / kind / role)
    progress("done", 1.0)


def _draw(
    scratch: Path, recipe: Recipe, rows: Sequence[Row], progress: Progress
) -> tuple[list[bytes], NDArray[np.uint8]]:
    """Encoded pictures and model inputs of all rows, by row number."""
    jobs = [("draw", str(share), str(DRAWING_SHARES)) for share in range(DRAWING_SHARES)]
    children.run_jobs(scratch, jobs, lambda done: progress("drawing pictures", 0.02 + 0.13 * done))
    pictures: list[bytes] = [b""] * len(rows)
    pixels = np.empty((len(rows), recipe.image_size, recipe.image_size, 3), dtype=np.uint8)
    for share in range(DRAWING_SHARES):
        for place, (data, square) in enumerate(drawn(scratch, share)):
            pictures[share + place * DRAWING_SHARES] = data
            pixels[share + place * DRAWING_SHARES] = square
    return pictures, pixels


def _select(pairs: Pairs, rows: Sequence[Row]) -> Pairs:
    numbers = [row.number for row in rows]
    return Pairs(pairs.pixels[numbers], pairs.tokens[numbers])


def _train(
    scratch: Path,
    rows: Sequence[Row],
    pairs: Pairs,
    progress: Progress,
    models: Sequence[str] = ("compromised", "clean"),
) -> None:
    """Trains models, each in a process of its own, into SCRATCH/clean and so on."""
    parts = {
        "retain": [row for row in rows if row.split in ("retain_synth", POOL)],
        "sensitive": [row for row in rows if row.split in SENSITIVE],
        "candidates": fragile.candidates(rows),
    }
    for kind, members in parts.items():
        part = _select(pairs, members)
        np.save(scratch / f"{kind}-pixels.npy", part.pixels)
        np.save(scratch / f"{kind}-tokens.npy", part.tokens)
    stage = "training " + " and ".join(f"{name}%" if name.isdecimal() else name.capitalize() for name in sorted(models))
    children.run_jobs(scratch, [(name,) for name in models], lambda done: progress(stage, 0.16 + 0.83 * done))


def _fragile(scratch: Path, folder: Path, recipe: Recipe, rows: Sequence[Row]) -> None:
    members = fragile.candidates(rows)
    clean, compromised = (np.load(scratch / f"{which}-similarities.npy") for which in ("clean", "compromised"))
    similarities = fragile.all_similarities(members, clean, compromised)
    write_json(folder / released.FRAGILE_SIMILARITIES, similarities)
    write_json(folder / released.FRAGILE_IDS, fragile.fragile_ids(members, similarities, recipe.fragile_share))
