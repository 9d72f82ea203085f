"""A model's canary: its embeddings of fixed inputs, written beside its weights and compared when it is loaded.

A config that says ``quick_gelu: false`` of weights trained with it, another interpolation, mean or tokenizer: each
gives a model that works, worse, and nothing says so. Then the canary falls silent: ``salmu_canary.json`` holds what the
model gave when it was written, from its own preprocessing and tokenizer on.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from salmu_core.clip.name import CANARY
from salmu_core.errors import CheckpointError
from salmu_core.store.hashing import hash_file
from salmu_core.store.records import Record

if TYPE_CHECKING:
    from salmu_core.clip.model import Clip

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

_MEANS: dict[str, tuple[list[float], list[float]]] = {
    "OpenAI's": ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]),
    "0.5": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "ImageNet's": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


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

    @property
    def sings(self) -> bool:
        """Whether the model is what the canary says."""
        return max(self.images, self.texts) <= TOLERANCE


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


def sing(clip: Clip, weights: Path | None = None) -> Canary:
    """A model's canary, computed where the model is, in float32.

    Args:
        clip: The model; its mode, gradients and random state are left alone.
        weights: The file of its weights, whose hash is noted.
    """
    shown, told = _embed_images(clip), _embed_texts(clip)
    return Canary(
        inputs=inputs_hash(),
        images=[_rounded(row) for row in shown],
        texts=[_rounded(row) for row in told],
        image_lengths=[_length(row) for row in shown],
        text_lengths=[_length(row) for row in told],
        weights=hash_file(weights) if weights else None,
        written_with={name: version(name) for name in ("torch", "open-clip-torch", "pillow")},
    )


def write_canary(folder: Path, song: Canary) -> None:
    """Write a canary into a model folder."""
    (folder / CANARY).write_text(json.dumps(song.model_dump(), allow_nan=False) + "\n", encoding="utf-8")


def read_canary(folder: Path) -> Canary | None:
    """The canary of a model folder, or None if it has none.

    Raises:
        CheckpointError: It is damaged, or of another release.
    """
    path = folder / CANARY
    try:
        song = Canary.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise CheckpointError(f"{path} can't be read: if the model is as it should be, {_again(folder)}.") from error
    if song.schema_version != SCHEMA or song.inputs != inputs_hash():
        raise CheckpointError(f"{path} was written by a release with other inputs: {_again(folder)}.")
    return song


def deviation(song: Canary, clip: Clip) -> Deviation:
    """How far a model's embeddings lie from what its canary says."""
    return Deviation(
        _distance(_embed_images(clip), song.images, song.image_lengths),
        _distance(_embed_texts(clip), song.texts, song.text_lengths),
    )


def check(song: Canary, clip: Clip, weights: Path, variant: Callable[[dict[str, Any]], Clip]) -> Deviation:
    """Compare a model with its canary; returns how far it is from it, which is not far.

    Args:
        song: The canary.
        clip: The model, as its config says.
        weights: The file of its weights.
        variant: Makes a model of the same weights by another config.

    Raises:
        CheckpointError: They differ; the message says which change of the config makes them agree, if one does.
    """
    found = deviation(song, clip)
    if found.sings:
        return found
    folder = weights.parent
    what = f"{clip.name} does not give the embeddings that its {CANARY} says"
    off = f"images are off by {found.images:.2g}, texts by {found.texts:.2g}, {TOLERANCE:g} is allowed"
    if song.weights is not None and hash_file(weights) != song.weights:
        why = f"{weights.name} is not the file it was written for. If that is meant, {_again(folder)}."
    elif change := _mended_by(song, clip, weights, variant):
        why = f"They agree with {', '.join(change)}: mend open_clip_config.json, or get the model again."
    else:
        side = "preprocess_cfg or vision_cfg" if found.texts <= TOLERANCE else "model_cfg"
        side = "text_cfg or the tokenizer" if found.images <= TOLERANCE else side
        why = (
            f"Look at {side} in open_clip_config.json, where no usual change explains it. It was written with "
            f"{', '.join(f'{name} {number}' for name, number in song.written_with.items())}."
        )
    raise CheckpointError(f"{what}: {off}. {why}")


def _again(folder: Path) -> str:
    return f"write it again: salmu canary {folder} --write"


def _mended_by(song: Canary, clip: Clip, weights: Path, variant: Callable[[dict[str, Any]], Clip]) -> list[str]:
    """The fewest changes of the config that make a model give what its canary says; empty if none do."""
    for told, config in _towers(clip, weights):
        try:
            made = clip if config is clip.config else variant(config)
        except CheckpointError:  # these weights fit no such model
            continue
        read = _cleaning(song, made)  # first: texts are soon embedded, and tell many towers apart
        shown = _preprocessing(song, made) if read is not None else None
        if read is not None and shown is not None:
            return [*told, *shown, *read]
    return []


def _towers(clip: Clip, weights: Path) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Other models of the same weights: with the other GELU, and with positions that are not interpolated."""
    sizes = _sizes(clip, weights)
    quick = clip.config["model_cfg"].get("quick_gelu", False)
    gelu = {f"quick_gelu: {str(not quick).lower()}": ("", "quick_gelu", not quick)}
    choices = [{}, gelu, sizes, {**gelu, **sizes}] if sizes else [{}, gelu]
    for chosen in choices:
        if not chosen:
            yield [], clip.config
            continue
        config = json.loads(json.dumps(clip.config))
        for part, key, value in chosen.values():
            (config["model_cfg"][part] if part else config["model_cfg"])[key] = value
        yield list(chosen), config


def _sizes(clip: Clip, weights: Path) -> dict[str, tuple[str, str, Any]]:
    """Context length and image size that the weights have and the config has not: open_clip interpolates."""
    found: dict[str, tuple[str, str, Any]] = {}
    cfg = clip.config["model_cfg"]
    try:
        with safe_open(weights, "pt") as file:
            names = set(file.keys())
            shape = {name: file.get_slice(name).get_shape() for name in names if "positional_embedding" in name}
    except (OSError, SafetensorError):
        return {}
    text = shape.get("positional_embedding", shape.get("text.positional_embedding"))
    if text and "multimodal_cfg" not in cfg and text[0] != cfg["text_cfg"].get("context_length", 77):
        found[f"text_cfg.context_length: {text[0]}"] = ("text_cfg", "context_length", text[0])
    image, patch = shape.get("visual.positional_embedding"), cfg["vision_cfg"].get("patch_size")
    if image and patch and isinstance(cfg["vision_cfg"].get("image_size", 224), int):
        side = math.isqrt(image[0]) * patch  # with or without a class token, which fills no square
        if side != cfg["vision_cfg"].get("image_size", 224):
            found[f"vision_cfg.image_size: {side}"] = ("vision_cfg", "image_size", side)
    return found


def _preprocessing(song: Canary, clip: Clip) -> list[str] | None:
    """The fewest changes of the preprocessing, if any, that make the image agree; None if none do."""
    from salmu_core.clip.model import assemble

    options: list[list[tuple[list[str], dict[str, Any]]]] = [
        [([], {}), *(([f"mean and std {name}"], {"mean": m, "std": s}) for name, (m, s) in _MEANS.items())],
        [([], {}), *(([f"interpolation: {mode}"], {"interpolation": mode}) for mode in ("bicubic", "bilinear"))],
        [([], {}), *(([f"resize_mode: {mode}"], {"resize_mode": mode}) for mode in ("shortest", "longest", "squash"))],
    ]
    combined = [
        ([word for told, _ in each for word in told], {key: v for _, change in each for key, v in change.items()})
        for each in itertools.product(*options)
    ]
    for told, change in sorted(combined, key=lambda each: len(each[0])):
        preprocess = {**clip.config["preprocess_cfg"], **change}
        tried = assemble(clip.name, clip.model, {**clip.config, "preprocess_cfg": preprocess}, clip.tokenizer)
        if _distance(_embed_images(tried), song.images, song.image_lengths) <= TOLERANCE:
            return told
    return None


def _cleaning(song: Canary, clip: Clip) -> list[str] | None:
    """The change of how texts are cleaned, if any, that makes them agree; None if none does."""
    from open_clip.tokenizer import get_clean_fn

    if _distance(_embed_texts(clip), song.texts, song.text_lengths) <= TOLERANCE:
        return []
    before = getattr(clip.tokenizer, "clean_fn", None)
    for mode in ("lower", "whitespace", "canonicalize") if before else ():
        clip.tokenizer.clean_fn = get_clean_fn(mode)
        try:
            if _distance(_embed_texts(clip), song.texts, song.text_lengths) <= TOLERANCE:
                return [f"text_cfg.tokenizer_kwargs.clean: {mode}"]
        finally:
            clip.tokenizer.clean_fn = before
    return None


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
    state, training = random.getstate(), clip.model.training
    tf32 = torch.backends.cuda.matmul.allow_tf32
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.no_grad(),  # not inference_mode, whose tensors a model may keep
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False),
        ):
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.default_generator.manual_seed(0)
            random.seed(0)
            if training:
                clip.model.eval()
            yield device
    finally:
        if training:
            clip.model.train()
        torch.backends.cuda.matmul.allow_tf32 = tf32
        random.setstate(state)


def _rounded(row: Tensor) -> list[float] | None:
    unit = torch.nn.functional.normalize(row, dim=0)[:WIDTH]
    return [round(value, 6) for value in unit.tolist()] if bool(unit.isfinite().all()) else None


def _length(row: Tensor) -> float | None:
    length = float(row.norm())
    return float(f"{length:.7g}") if math.isfinite(length) else None


def _distance(embedded: Tensor, units: list[list[float] | None], lengths: list[float | None]) -> float:
    """The largest difference of any number of the unit vectors, and relative one of the lengths."""
    far = 0.0
    if len(embedded) != len(units) or len(units) != len(lengths):
        return math.inf
    for row, unit, length in zip(embedded, units, lengths, strict=True):
        mine, size = _rounded(row), _length(row)
        if mine is None or unit is None or size is None or length is None:
            far = far if (mine, size) == (unit, length) else math.inf
        elif len(mine) != len(unit):
            return math.inf
        else:
            far = max(
                far, abs(size - length) / max(length, 1e-12), *(abs(a - b) for a, b in zip(mine, unit, strict=True))
            )
    return far
