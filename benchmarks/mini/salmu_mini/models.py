"""The two models as open_clip folders, and what is measured with them while building."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from salmu_mini.recipe import Recipe
from salmu_mini.references import Pairs, encode_text, normalise

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


def save_model(model: open_clip.CLIP, recipe: Recipe, folder: Path) -> None:
    """Writes a folder that `open_clip.create_model_and_transforms("local-dir:...")` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    config = {"model_cfg": recipe.model_cfg(), "preprocess_cfg": preprocess}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    # Not `save_file`, which makes a file that only its owner may read.
    weights = save({name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()})
    (folder / WEIGHTS).write_bytes(weights)


def tokenize(texts: list[str], recipe: Recipe) -> NDArray[np.int64]:
    """Token ids (n, context) of open_clip's own tokenizer; equal captions are tokenized once."""
    tokenizer = open_clip.SimpleTokenizer(context_length=recipe.context_length)
    distinct = list(dict.fromkeys(texts))
    ids = tokenizer(distinct).numpy().astype(np.int64)
    place = {text: number for number, text in enumerate(distinct)}
    rows: NDArray[np.int64] = ids[[place[text] for text in texts]]
    return rows


@torch.inference_mode()
def similarities(model: open_clip.CLIP, pairs: Pairs, batch: int = 256) -> NDArray[np.float64]:
    """Cosine of every pair's picture and caption: (n,)."""
    found = []
    for start in range(0, len(pairs), batch):
        images = model.encode_image(normalise(pairs.pixels[start : start + batch]), normalize=True)
        texts = encode_text(model, torch.from_numpy(pairs.tokens[start : start + batch]))
        found.append((images * texts).sum(dim=-1).double().numpy())
    return np.concatenate(found)
