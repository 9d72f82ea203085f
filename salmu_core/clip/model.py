"""A CLIP model with everything its own config says about feeding it."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize

from salmu_core.clip.name import CONFIG
from salmu_core.errors import CheckpointError


@dataclass(frozen=True)
class Clip:
    """A CLIP model with everything its own config says about feeding it.

    Attributes:
        name: The name it was loaded by.
        model: The model, in eval mode, float32.
        config: Content of ``open_clip_config.json``: ``model_cfg`` and ``preprocess_cfg``. With the weights, and for
            a tokenizer of Hugging Face its files, it is all that open_clip needs to load the model again.
        mean: Per-channel mean of pixels in [0, 1].
        std: Per-channel standard deviation.
        tokenizer: open_clip's tokenizer of this model.
    """

    name: str
    model: Any
    config: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    tokenizer: Any
    _transform: Compose

    @property
    def image_size(self) -> Any:
        """Side of the images, in pixels, or (height, width)."""
        return self.model.visual.image_size

    def to_pixels(self, image: Image.Image) -> np.ndarray:
        """Resize, crop and convert as open_clip would: uint8 ``[3, h, w]``.

        An image of whatever mode goes through open_clip's own evaluation transform up to its last two steps, so that
        `normalize` of the pixels is what open_clip would feed the model, bit for bit. As there, the orientation that
        a camera notes in EXIF is not applied, and transparency is dropped.
        """
        return np.ascontiguousarray(np.asarray(self._transform(image), dtype=np.uint8).transpose(2, 0, 1))

    def normalize(self, pixels: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Pixels, uint8 ``[b, 3, h, w]``, as the float32 input of the image tower on ``device``."""
        mean, std = _channels(self.mean, device), _channels(self.std, device)
        return pixels.to(device).float().div(255).sub(mean).div(std)

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Token ids, int64 ``[n, context_length]``."""
        tokens: Tensor = self.tokenizer(list(captions))
        return tokens

    def vocabulary(self) -> dict[int, str]:
        """Token id -> the token, as the tokenizer writes it."""
        if isinstance(self.tokenizer, SimpleTokenizer):
            return dict(self.tokenizer.decoder)
        return {number: token for token, number in self.tokenizer.tokenizer.get_vocab().items()}


@cache
def _channels(values: tuple[float, ...], device: torch.device | str) -> Tensor:
    """A value for each channel ``[c, 1, 1]``; once, as what comes new to a card makes it wait."""
    with torch.inference_mode(False):  # who asks first must not show
        return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor on the device, without waiting for what is computed there."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def assemble(name: str, model: Any, config: dict[str, Any], tokenizer: Any) -> Clip:
    """A model that is there already, with the preprocessing its config says.

    Args:
        name: What to call it in messages.
        config: ``model_cfg`` and ``preprocess_cfg``.
        tokenizer: open_clip's tokenizer of it.

    Raises:
        CheckpointError: open_clip has no such preprocessing.
    """
    # As open_clip does it: what the config leaves out is by default, and the model knows the size.
    preprocessing = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg") or {})
    try:
        cfg = PreprocessCfg(**{**preprocessing, "size": model.visual.image_size})
        *spatial, _to_tensor, normalize = image_transform_v2(cfg, is_train=False).transforms
    except (AssertionError, TypeError, ValueError) as error:
        what = f"open_clip has no such preprocessing as its config says: {preprocessing}"
        raise CheckpointError(f"{name}: {what}") from error
    assert isinstance(normalize, Normalize)
    return Clip(name, model, config, tuple(normalize.mean), tuple(normalize.std), tokenizer, Compose(spatial))


def plain_tokenizer(config: Mapping[str, Any]) -> Any:
    """The tokenizer of a config that needs no files: CLIP's own, with the config's settings.

    Raises:
        CheckpointError: The config asks for a tokenizer of Hugging Face.
    """
    text = config["model_cfg"].get("text_cfg", {})
    if text.get("hf_tokenizer_name"):
        raise CheckpointError(f"the tokenizer {text['hf_tokenizer_name']!r} is more than its config: hand it over too")
    settings = {name: text[name] for name in ("context_length", "tokenizer_kwargs") if name in text}
    return _own_tokenizer(json.dumps(settings, sort_keys=True))


@lru_cache(maxsize=8)  # to read its vocabulary takes a quarter of a second
def _own_tokenizer(settings: str) -> Any:
    with tempfile.TemporaryDirectory() as folder, quiet():
        content = {"model_cfg": {"text_cfg": json.loads(settings)}}
        (Path(folder) / CONFIG).write_text(json.dumps(content), encoding="utf-8")
        return open_clip.get_tokenizer(f"local-dir:{folder}")


@contextmanager
def quiet() -> Iterator[None]:
    """open_clip reports each step of loading to the root logger."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
