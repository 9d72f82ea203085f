"""A model's canary: its embeddings of fixed inputs, written beside its weights and compared when it is loaded.

A config that says ``quick_gelu: false`` of weights trained with it, another interpolation, mean or tokenizer: each
gives a model that works, worse, and nothing says so. ``salmu_canary.json`` holds what the model gave when it was
written, from its own preprocessing and tokenizer on, and a model that gives something else is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from salmu_core.clip.float32 import float32
from salmu_core.clip.model import Clip
from salmu_core.clip.name import CANARY
from salmu_core.disk.files import write_text
from salmu_core.disk.hashing import hash_file
from salmu_core.disk.reading import SMALL, read_json
from salmu_core.disk.record import Record
from salmu_core.errors import CheckpointError, FileError, MissingFileError
from salmu_core.machine import random_state_kept

SCHEMA = 1
#: Numbers kept of each embedding. A mismatch shows in all of them.
WIDTH = 32
#: How far a number of a unit vector may lie off, and a length, relatively: hundreds of times what other threads or
#: another CPU make of it in float32, and less than the mildest mismatch of the smallest model does.
TOLERANCE = 5e-4
#: Case, punctuation, digits, accents, another script; and more words than any context holds.
TEXTS = (
    "A Photo: Zoë Müller-Łuc, São Paulo / 東京, IBAN DE89 3704 0044, +49 (0)30 231-25!",
    " ".join(f"Word {number}," for number in range(400)),
)


class Canary(Record):
    """``salmu_canary.json``."""

    schema_version: int = SCHEMA
    inputs: str
    """SHA-256 of the fixed image and texts."""
    images: list[list[float] | None]
    """The first numbers of each image's unit embedding; none where it is not finite."""
    texts: list[list[float] | None]
    image_lengths: list[float | None]
    """Length of each image's embedding before it was brought to 1."""
    text_lengths: list[float | None]
    weights: str | None = None
    """SHA-256 of the file of weights it was written beside."""
    written_with: dict[str, str]
    """Versions of the libraries that computed it."""


@dataclass(frozen=True)
class Deviation:
    """How far a model is from its canary: the largest difference of any number, infinite where one is not finite."""

    images: float
    texts: float


def picture() -> Image.Image:
    """The fixed image, by whole numbers alone: not square, with hard edges, slopes and strong colours everywhere."""
    y, x = np.indices((100, 150))
    colours = np.array([[230, 25, 30], [20, 90, 220], [250, 230, 10], [5, 5, 8]])
    checks = colours[(x // 7 + y // 5) % 4]
    slopes = np.stack([x * 255 // 149, y * 255 // 99, np.where((x + y) // 9 % 2, 255, 40)], axis=-1)
    rings = np.stack([((x - 100) ** 2 + (y - 50) ** 2) // area % 2 * 255 for area in (150, 210, 330)], axis=-1)
    pixels = np.where((y < 34)[..., None], slopes, np.where((x < 60)[..., None], checks, rings))
    return Image.fromarray(pixels.astype(np.uint8))


def inputs_hash() -> str:
    """SHA-256 over the pixels and texts, as hex."""
    digest = hashlib.sha256(picture().tobytes())
    digest.update("\x1f".join(TEXTS).encode())
    return digest.hexdigest()


def make_canary(clip: Clip, weights: Path | None = None) -> Canary:
    """A model's canary, computed where the model is, in float32.

    Args:
        clip: The model; its mode, gradients and random state are left alone.
        weights: The file of its weights, whose hash is noted.
    """
    images, texts = _embed_images(clip), _embed_texts(clip)
    return Canary(
        inputs=inputs_hash(),
        images=[_rounded(row) for row in images],
        texts=[_rounded(row) for row in texts],
        image_lengths=[_length(row) for row in images],
        text_lengths=[_length(row) for row in texts],
        weights=hash_file(weights) if weights else None,
        written_with={name: version(name) for name in ("torch", "open-clip-torch", "pillow")},
    )


def write_canary(folder: Path, canary: Canary) -> None:
    """Write a canary into a model folder."""
    write_text(folder / CANARY, json.dumps(canary.model_dump(), allow_nan=False) + "\n")


def read_canary(folder: Path) -> Canary | None:
    """The canary of a model folder, or None if it has none.

    Raises:
        CheckpointError: It is damaged, or of another release.
    """
    path = folder / CANARY
    try:
        canary = Canary.model_validate(read_json(path, limit=SMALL))
    except MissingFileError:
        return None
    except (FileError, ValidationError) as error:
        raise CheckpointError(f"{path} can't be read: if the model is as it should be, {_again(folder)}.") from error
    if canary.schema_version != SCHEMA or canary.inputs != inputs_hash():
        raise CheckpointError(f"{path} was written by a release with other inputs: {_again(folder)}.")
    return canary


def deviation(canary: Canary, clip: Clip) -> Deviation:
    """How far a model's embeddings lie from what its canary says."""
    return Deviation(
        _distance(_embed_images(clip), canary.images, canary.image_lengths),
        _distance(_embed_texts(clip), canary.texts, canary.text_lengths),
    )


def check_canary(canary: Canary, clip: Clip, weights: Path) -> Deviation:
    """Compare a model with its canary; returns how far it is from it, which is not far.

    Raises:
        CheckpointError: They differ; the message says by how much, and where in the config to look.
    """
    off = deviation(canary, clip)
    if max(off.images, off.texts) <= TOLERANCE:
        return off
    if canary.weights is not None and hash_file(weights) != canary.weights:
        advice = f"{weights.name} is not the file it was written for. If that is meant, {_again(weights.parent)}."
    else:
        if off.texts <= TOLERANCE:
            place = "preprocess_cfg (mean, std, interpolation, resize_mode) or vision_cfg"
        elif off.images <= TOLERANCE:
            place = "text_cfg (context_length, tokenizer)"
        else:
            place = "model_cfg (quick_gelu first of all) and preprocess_cfg"
        versions = ", ".join(f"{name} {number}" for name, number in canary.written_with.items())
        advice = f"Look at {place} in open_clip_config.json, or get the model again. It was written with {versions}."
    raise CheckpointError(
        f"{clip.name} does not give the embeddings that its {CANARY} says: images are off by {off.images:.2g}, texts "
        f"by {off.texts:.2g}, {TOLERANCE:g} is allowed. {advice}"
    )


def _again(folder: Path) -> str:
    return f"write it again: salmu canary {folder} --write"


def _embed_images(clip: Clip) -> Tensor:
    pixels = torch.from_numpy(clip.to_pixels(picture())[None])
    with _undisturbed(clip) as device:
        embedded: Tensor = clip.model.encode_image(clip.normalize(pixels, device), normalize=False)
    return embedded.double().cpu()


def _embed_texts(clip: Clip) -> Tensor:
    with _undisturbed(clip) as device:
        embedded: Tensor = clip.model.encode_text(clip.tokenize(TEXTS).to(device), normalize=False)
    return embedded.double().cpu()


@contextmanager
def _undisturbed(clip: Clip) -> Iterator[torch.device]:
    """Eval mode, full float32, and random numbers that are always the same (some tokenizers drop words at random)."""
    device = next(clip.model.parameters()).device
    training = clip.model.training
    try:
        with (
            random_state_kept(),
            torch.no_grad(),  # not inference_mode, whose tensors a model may keep
            float32(device),
        ):
            torch.default_generator.manual_seed(0)
            random.seed(0)
            if training:
                clip.model.eval()
            yield device
    finally:
        if training:
            clip.model.train()


def _rounded(row: Tensor) -> list[float] | None:
    unit = torch.nn.functional.normalize(row, dim=0)[:WIDTH]
    return [round(value, 6) for value in unit.tolist()] if bool(unit.isfinite().all()) else None


def _length(row: Tensor) -> float | None:
    length = float(row.norm())
    return float(f"{length:.7g}") if math.isfinite(length) else None


def _distance(embedded: Tensor, units: list[list[float] | None], lengths: list[float | None]) -> float:
    """The largest difference of any number of the unit vectors, and relative one of the lengths."""
    if len(embedded) != len(units) or len(units) != len(lengths):
        return math.inf
    distances = [0.0]
    for row, unit, length in zip(embedded, units, lengths, strict=True):
        row_unit, row_length = _rounded(row), _length(row)
        if row_unit is None or unit is None or row_length is None or length is None:
            distances.append(0.0 if (row_unit, row_length) == (unit, length) else math.inf)
        elif len(row_unit) != len(unit):
            return math.inf
        else:
            distances.append(abs(row_length - length) / max(length, 1e-12))
            distances += [abs(a - b) for a, b in zip(row_unit, unit, strict=True)]
    return max(distances)
