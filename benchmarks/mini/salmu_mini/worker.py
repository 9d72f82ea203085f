"""A child process: draws a share of the pictures, or trains one of the two models.

Run as `python -m salmu_mini.worker SCRATCH JOB ...`: a process of its own keeps the caller's threads, random
state and `__main__` out of it. Arguments and results are files in SCRATCH; each output line is a fraction done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from salmu_mini.recipe import Recipe
from salmu_mini.seeds import stream

if TYPE_CHECKING:
    from salmu_mini.references import Pairs


def _say(fraction: float) -> None:
    print(f"{fraction:.4f}", flush=True)


def write_job(scratch: Path, world: int, recipe: Recipe) -> None:
    """What every worker needs to know."""
    (scratch / "job.json").write_text(json.dumps({"world": world, "recipe": asdict(recipe)}), encoding="utf-8")


def read_job(scratch: Path) -> tuple[int, Recipe]:
    """World and recipe, as `write_job` left them."""
    job = json.loads((scratch / "job.json").read_text(encoding="utf-8"))
    return int(job["world"]), Recipe(**job["recipe"])


def draw_share(scratch: Path, share: int, shares: int) -> None:
    """Draws every `shares`-th row from `share` on: model inputs, and encoded pictures end to end."""
    from salmu_mini.personas import make_personas
    from salmu_mini.pictures import finish
    from salmu_mini.rows import make_rows

    world, recipe = read_job(scratch)
    mine = make_rows(world, make_personas(world, recipe.personas), recipe)[share::shares]
    pixels = np.empty((len(mine), recipe.image_size, recipe.image_size, 3), dtype=np.uint8)
    lengths = []
    with (scratch / f"pictures-{share}.bin").open("wb") as file:
        for place, row in enumerate(mine):
            data, pixels[place] = finish(row, world, recipe)
            lengths.append(file.write(data))
            if place % 100 == 99:
                _say((place + 1) / len(mine))
    np.save(scratch / f"pixels-{share}.npy", pixels)
    np.save(scratch / f"lengths-{share}.npy", np.array(lengths, dtype=np.int64))


def drawn(scratch: Path, share: int) -> Iterator[tuple[bytes, NDArray[np.uint8]]]:
    """(encoded picture, model input) of one share, in the order of its rows."""
    pixels, lengths = np.load(scratch / f"pixels-{share}.npy"), np.load(scratch / f"lengths-{share}.npy")
    with (scratch / f"pictures-{share}.bin").open("rb") as file:
        for length, square in zip(lengths, pixels, strict=True):
            yield file.read(int(length)), square


def train_model(scratch: Path, which: str) -> None:
    """Writes the folder SCRATCH/which and its cosines on the candidates.

    `which` is "clean", "compromised", or the percentage of the sensitive pairs that a model in between sees, each as
    often as Compromised does.
    """
    import torch

    from salmu_core import train_reference
    from salmu_mini.references import Pairs, feeds

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    world, recipe = read_job(scratch)

    def pairs(kind: str) -> Pairs:
        return Pairs(np.load(scratch / f"{kind}-pixels.npy"), np.load(scratch / f"{kind}-tokens.npy"))

    percent = {"clean": 0, "compromised": 100}.get(which) if not which.isdecimal() else int(which)
    assert percent is not None, which
    retain, sensitive, candidates = (pairs(kind) for kind in ("retain", "sensitive", "candidates"))
    config = recipe.pair_config(world)
    if percent < 100:
        sensitive, recipe = part(sensitive, percent, world, recipe)
    seen = feeds(retain, sensitive if percent else None, world, recipe)
    reference = train_reference(scratch / which, seen, config, _say)
    similarities = reference.similarities(candidates.images, torch.from_numpy(candidates.tokens))
    np.save(scratch / f"{which}-similarities.npy", similarities)


def part(sensitive: Pairs, percent: int, world: int, recipe: Recipe) -> tuple[Pairs, Recipe]:
    """Some of the sensitive pairs, those of a smaller part among them, and the recipe that shows each as often."""
    from salmu_mini.references import Pairs

    count = round(len(sensitive) * percent / 100)
    chosen = np.sort(stream(world, "part of the sensitive pairs").permutation(len(sensitive))[:count])
    batch = round(recipe.sensitive_batch * percent / 100)
    return Pairs(sensitive.pixels[chosen], sensitive.tokens[chosen]), replace(recipe, sensitive_batch=batch)


def main(arguments: list[str]) -> None:
    scratch, job = Path(arguments[0]), arguments[1]
    if job == "draw":
        draw_share(scratch, int(arguments[2]), int(arguments[3]))
    else:
        train_model(scratch, job)


if __name__ == "__main__":
    main(sys.argv[1:])
