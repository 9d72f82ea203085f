"""A benchmark of a few dozen rows in the released layout, with untrained models: written in a second."""

from __future__ import annotations

import io
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from salmu_core.benchmark.writer import write_json, write_split, write_zeroshot
from salmu_core.clip.save import save_checkpoint
from salmu_core.contract import layout
from salmu_core.contract.pair import Pair

_MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
_PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic"}
_CLASSES = ("circle", "square", "star")
_ATTRIBUTES = ("city", "phone_number", "iban", "job")


def write_tiny_benchmark(
    folder: Path, seed: int = 0, people: int = 8, pairs: int = 4, hidden: int | None = None
) -> Path:
    """Write a whole benchmark folder; same arguments, same bytes.

    A quarter of the people is wholly forgotten, half of them half forgotten, a quarter held out.

    Args:
        folder: Where to; made if absent.
        seed: Decides images and weights.
        people: Number of people, a multiple of 4.
        pairs: Associations a person, at most 4.
        hidden: Decides what no method may see, by default as ``seed`` does: held out images and values, the
            zero-shot set, Clean.

    Returns:
        The folder.
    """
    for path, content in tiny_files(seed, people, pairs, seed if hidden is None else hidden).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


@lru_cache(maxsize=8)
def tiny_files(seed: int, people: int, pairs: int, hidden: int) -> dict[Path, bytes]:
    """Every file of a benchmark, made once in a process and its forks: path below the folder -> content."""
    with TemporaryDirectory() as made:
        _write(Path(made), seed, people, pairs, hidden)
        return {file.relative_to(made): file.read_bytes() for file in sorted(Path(made).rglob("*")) if file.is_file()}


def _write(folder: Path, seed: int, people: int, pairs: int, hidden: int) -> None:
    rng, unseen = np.random.default_rng(seed), np.random.default_rng([hidden, 1])
    identities, facts, generic = {}, {}, {}
    splits: dict[str, list[Pair]] = {name: [] for name in layout.BASE_SPLITS}
    for person in range(people):
        identity = f"{person:08d}"
        values = {f: f"{f.replace('_', ' ')} {person}{k}" for k, f in enumerate(_ATTRIBUTES)}
        for k, attribute in enumerate(_ATTRIBUTES[:pairs]):
            if person >= people * 3 // 4:
                split = layout.HOLDOUT_IDENTITY
            elif person >= people // 4 and k % 2:
                split = layout.HOLDOUT_ASSOCIATION
            else:
                split = layout.FORGET
            if split != layout.FORGET:
                values[attribute] += f"-{hidden}"
            caption = f"Person Number{person} has the {values[attribute]}"
            file = f"{identity}_{k:03d}_ar-0.75.jpg"
            source = rng if split == layout.FORGET else unseen
            splits[split].append(Pair(_image(source, 18, 24), caption, identity, file))
            facts[file] = {"data_field": attribute, "caption": caption, "identity_id": identity}
            generic[file] = f"A photo of somebody, number {k}"
        identities[identity] = {"name": f"Person Number{person}", **values}
    retain = splits[layout.RETAIN_SYNTH]
    for k in range(people * pairs):
        shown = f"{k:08d}" if k < people // 2 else None
        retain.append(
            Pair(_image(rng, 24, 20), f"A picture of a thing, number {k}", shown, f"r{k:07d}_000_ar-1.20.jpg")
        )
    for name, rows in splits.items():
        write_split(folder, name, rows)
    disjoint = [p.file_name for p in retain if p.identity_id is None]
    write_json(folder / layout.IDENTITIES, identities)
    write_json(folder / layout.CAPTIONS_METADATA, facts)
    write_json(folder / layout.GENERIC_CAPTIONS, generic)
    write_json(folder / layout.FRAGILE_IDS, disjoint[: len(disjoint) // 3])
    write_json(folder / layout.FRAGILE_SIMILARITIES, dict.fromkeys(disjoint, 0.0))
    samples = [(_image(unseen, 16, 16, "webp"), k % len(_CLASSES)) for k in range(12)]
    write_zeroshot(folder / layout.ZEROSHOT, _CLASSES, ["a photo of a {c}.", "a drawing of a {c}."], samples, 2)
    for role, name in (("clean", f"{hidden} clean"), ("compromised", f"{seed} compromised")):
        (folder / role).mkdir(exist_ok=True)
        save_checkpoint(folder / role, tiny_model(name), tiny_config())


def tiny_config() -> dict[str, Any]:
    """Content of ``open_clip_config.json`` of the tiny models."""
    return deepcopy({"model_cfg": _MODEL, "preprocess_cfg": _PREPROCESS})  # callers change it


def tiny_model(seed: object = 0) -> torch.nn.Module:
    """An untrained CLIP of a few hundred thousand weights; the global random state is left alone."""
    from salmu_core.train.seeding import seed_of

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of("tiny", seed))
        model: torch.nn.Module = open_clip.model.CLIP(_MODEL["embed_dim"], _MODEL["vision_cfg"], _MODEL["text_cfg"])
    return model.eval()


def _image(rng: np.random.Generator, width: int, height: int, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, lossless=True)
    return buffer.getvalue()
