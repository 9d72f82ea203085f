"""open_clip models: loading, preprocessing and encoding, always by the model's own config."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize

from salmu_core.errors import CheckpointError

CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class Clip:
    """A CLIP model with everything its own config says about feeding it.

    Attributes:
        name: The open_clip name it was loaded by.
        model: The model, in eval mode, float32.
        config: Content of ``open_clip_config.json``: ``model_cfg`` and ``preprocess_cfg``.
        mean: Per-channel mean of pixels in [0, 1].
        std: Per-channel standard deviation.
    """

    name: str
    model: Any
    config: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    _transform: Compose
    _tokenizer: Any

    @property
    def image_size(self) -> Any:
        """Side of the images, in pixels, or (height, width)."""
        return self.model.visual.image_size

    def to_pixels(self, image: Image.Image) -> np.ndarray:
        """Resize, crop and convert as open_clip would: uint8 ``[3, h, w]``."""
        converted = self._transform(image)
        if isinstance(converted, Tensor):
            return (converted * 255).round().to(torch.uint8).numpy()
        return np.ascontiguousarray(np.asarray(converted, dtype=np.uint8).transpose(2, 0, 1))

    def normalize(self, pixels: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Pixels, uint8 ``[b, 3, h, w]``, as the float32 input of the image tower on ``device``."""
        mean = torch.tensor(self.mean, device=device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=device).view(-1, 1, 1)
        return pixels.to(device).float().div(255).sub(mean).div(std)

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Token ids, int64 ``[n, context_length]``."""
        tokens: Tensor = self._tokenizer(list(captions))
        return tokens


def load_clip(name: str | Path) -> Clip:
    """Load a model by an open_clip name: a folder, ``local-dir:PATH`` or ``hf-hub:OWNER/NAME``.

    Weights are safetensors, or a pickle that is read with ``weights_only=True``. The global random state
    is left as it was found.

    Raises:
        CheckpointError: There is no such model, or its files can't be read.
    """
    source = str(name)
    if not source.startswith(("hf-hub:", "local-dir:")):
        source = f"local-dir:{Path(source).expanduser().resolve()}"
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # open_clip reports each step of loading to the root logger
    try:
        config = _read_config(source)
        with torch.random.fork_rng(devices=[]):
            model, preprocess = open_clip.create_model_from_pretrained(source)
        tokenizer = open_clip.get_tokenizer(source)
    except CheckpointError:
        raise
    except Exception as error:  # open_clip raises anything from OSError to RuntimeError here
        raise CheckpointError(f"{source} can't be loaded as an open_clip model: {error}") from error
    finally:
        logger.setLevel(level)
    *spatial, _to_tensor, normalize = preprocess.transforms
    if not isinstance(normalize, Normalize):
        raise CheckpointError(f"{source}: its preprocessing does not end with a normalisation")
    model.eval().requires_grad_(True)
    return Clip(source, model, config, tuple(normalize.mean), tuple(normalize.std), Compose(spatial), tokenizer)


def _read_config(source: str) -> dict[str, Any]:
    schema, _, identifier = source.partition(":")
    if schema == "hf-hub":
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(identifier, CONFIG))
    else:
        path = Path(identifier) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config["model_cfg"], dict):
            raise TypeError("model_cfg is no object")
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is no open_clip model folder: it has no {CONFIG}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} can't be read: {error!r}") from error
    return {"model_cfg": config["model_cfg"], "preprocess_cfg": config.get("preprocess_cfg", {})}
