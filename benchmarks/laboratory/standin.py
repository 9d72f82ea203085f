"""What stands in for the files that can't be handed on, so that the real thing can be tried before they are there.

    cd benchmarks/laboratory
    uv run python standin.py zeroshot DIR --per-class 50      a zero-shot set of drawn scenes
    uv run python standin.py web DIR --shards 20              shards of web-like pairs, for --retain
    uv run python standin.py models DIR --arch ViT-B-16       Clean and Compromised with random weights
    uv run python standin.py world DIR --world 220            a world of mini, and a deeper pair trained in it
    uv run python standin.py slice FROM DIR --share 0.01      some people of a benchmark, with all their rows

The data themselves are `salmu dataset build`'s.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import open_clip
import torch
from salmu_mini.build import build
from salmu_mini.captions import scene_caption
from salmu_mini.recipe import Recipe
from salmu_mini.scenes import CLASSES, PLACES, TEMPLATES, draw_scene, sample_scene
from salmu_mini.seeds import stream

from salmu_core import Pair, layout, write_json, write_split, write_zeroshot
from salmu_core.benchmark.rows import read_rows
from salmu_core.clip.save import save_checkpoint
from salmu_core.train.seeding import seed_of


def scene(number: int, side: int, purpose: str, kind: str = "JPEG") -> tuple[bytes, int, str]:
    """A drawn scene: encoded image, class number, caption."""
    rng = stream(0, purpose, number)
    label = number % len(CLASSES)
    drawing = sample_scene(rng, label)
    caption = scene_caption(drawing.class_name, PLACES[drawing.place], drawing.size, rng)
    buffer = io.BytesIO()
    draw_scene(drawing, rng, side).save(buffer, kind, quality=90)
    return buffer.getvalue(), label, caption


def zeroshot(folder: Path, per_class: int, side: int, shards: int) -> None:
    """A zero-shot set in CLIP_benchmark's layout."""
    samples = (scene(n, side, "stand-in test", "WEBP")[:2] for n in range(per_class * len(CLASSES)))
    write_zeroshot(folder, CLASSES, TEMPLATES, samples, shards)


def web(folder: Path, shards: int, per_shard: int, side: int) -> None:
    """Shards of scenes with captions, as img2dataset writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(shard * per_shard, (shard + 1) * per_shard):
                image, _, caption = scene(number, side, "stand-in web")
                for suffix, content in (("jpg", image), ("txt", caption.encode())):
                    member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def models(folder: Path, arch: str) -> None:
    """Two models of an architecture with random weights."""
    for role in ("clean", "compromised"):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed_of("stand-in", arch, role))
            model, _, _ = open_clip.create_model_and_transforms(arch)
        (folder / role).mkdir(parents=True, exist_ok=True)
        config = {"model_cfg": open_clip.get_model_config(arch), "preprocess_cfg": model.visual.preprocess_cfg}
        save_checkpoint(folder / role, model.eval(), config)


def world(folder: Path, world: int, text_layers: int, width: int) -> None:
    """A world of `mini` whose two models have more layers and are wider."""
    folder.mkdir(parents=True)
    recipe = Recipe(text_layers=text_layers, text_width=width, vision_layers=4, embed_dim=width)
    build(folder, world, lambda stage, done: print(f"{done:4.0%} {stage}", flush=True), recipe)


def cut(source: Path, folder: Path, share: float) -> None:
    """A share of the people of each kind, with all their rows, and the same share of the rows without people."""
    rng = np.random.default_rng(0)
    ids = {split: set(read_rows(source, split).identity_ids) for split in layout.BASE_SPLITS[:3]}
    half = ids[layout.HOLDOUT_ASSOCIATION]
    kept: set[str | None] = set()
    for group in (ids[layout.FORGET] - half, half, ids[layout.HOLDOUT_IDENTITY]):
        people = sorted(map(str, group))
        kept |= set(rng.permutation(people)[: max(1, round(share * len(people)))].tolist())
    folder.mkdir(parents=True)
    names = set()
    for split in layout.BASE_SPLITS:
        rows = read_rows(source, split)
        anybody = iter(rng.random(len(rows)) < share)
        chosen = [
            i for i, person in enumerate(rows.identity_ids) if (next(anybody) if person is None else person in kept)
        ]
        pairs = [Pair(rows.encoded[i], rows.captions[i], rows.identity_ids[i], rows.file_names[i]) for i in chosen]
        write_split(folder, split, pairs)
        names |= {pair.file_name for pair in pairs}
    for file in (layout.IDENTITIES, layout.CAPTIONS_METADATA, layout.GENERIC_CAPTIONS, layout.FRAGILE_IDS):
        entries = json.loads((source / file).read_text(encoding="utf-8"))
        if isinstance(entries, list):
            write_json(folder / file, [name for name in entries if name in names])
        else:
            write_json(folder / file, {key: value for key, value in entries.items() if key in names | kept})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("zeroshot", "web", "models", "world"):
        commands.add_parser(name).add_argument("folder", type=Path)
    for name in ("zeroshot", "web"):
        commands.choices[name].add_argument("--side", type=int, default=224)
        commands.choices[name].add_argument("--shards", type=int, default=4)
    commands.choices["zeroshot"].add_argument("--per-class", type=int, default=50)
    commands.choices["web"].add_argument("--per-shard", type=int, default=1000)
    commands.choices["models"].add_argument("--arch", default="ViT-B-16")
    commands.choices["world"].add_argument("--world", type=int, default=220)
    commands.choices["world"].add_argument("--text-layers", type=int, default=3)
    commands.choices["world"].add_argument("--width", type=int, default=96)
    part = commands.add_parser("slice")
    part.add_argument("source", type=Path)
    part.add_argument("folder", type=Path)
    part.add_argument("--share", type=float, default=0.01)
    given = vars(parser.parse_args())
    command = {"zeroshot": zeroshot, "web": web, "models": models, "world": world, "slice": cut}[given.pop("command")]
    command(**given)


if __name__ == "__main__":
    main()
