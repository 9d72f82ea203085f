"""From the name of an architecture, or a file that describes one, to an untrained model."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from salmu_core.clip.model import assemble
from salmu_core.clip.name import CONFIG
from salmu_core.disk.reading import SMALL, read_json
from salmu_core.errors import CheckpointError, FileError, UnknownNameError, UsageError
from salmu_core.train.seeding import seed_of
from salmu_references.recipe import Recipe

#: What these models need is not CLIP's loss, or not from scratch.
_OTHERS = {
    "multimodal_cfg": "is a captioning model (CoCa), with a loss of its own",
    "init_logit_bias": "is trained with a sigmoid loss (SigLIP)",
}


def read_architecture(arch: str) -> dict[str, Any]:
    """Content of an ``open_clip_config.json``: ``model_cfg`` and ``preprocess_cfg``.

    Args:
        arch: A name open_clip knows, or the path of a JSON file: an ``open_clip_config.json``, or one in the format of
            open_clip's ``model_configs``.

    Raises:
        UnknownNameError: open_clip knows no such name; the message lists what comes near.
        UsageError: The file can't be read, or it is a model that is not trained with CLIP's loss from scratch.
    """
    content: dict[str, Any] = {}
    if arch.endswith(".json"):
        path = Path(arch).expanduser()
        try:
            content = read_json(path, limit=SMALL)
            model_cfg = content.get("model_cfg", content)
            parts = (model_cfg["vision_cfg"], model_cfg["text_cfg"], content.get("preprocess_cfg") or {})
            if not all(isinstance(part, dict) for part in parts):
                raise TypeError
        except FileError as error:
            raise UsageError(f"--arch {arch} describes no model: {error.reason}.") from error
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"--arch {arch} describes no model: it must be JSON with embed_dim, vision_cfg and text_cfg."
            ) from error
    else:
        model_cfg = open_clip.get_model_config(arch)
        if model_cfg is None:
            raise UnknownNameError("architecture", arch, open_clip.list_models(), "A file of your own ends with .json.")
    for key, reason in _OTHERS.items():
        if key in model_cfg:
            raise UsageError(f"{arch} {reason}; what is trained here are CLIP models.")
    if any(key in model_cfg["text_cfg"] for key in ("hf_model_name", "hf_tokenizer_name")):
        raise UsageError(f"{arch} has a text tower or tokenizer of Hugging Face; take one with CLIP's own.")
    drops = [key for key in ("patch_dropout", "timm_drop", "timm_drop_path") if model_cfg["vision_cfg"].get(key)]
    if drops:
        raise UsageError(f"{arch} has {drops[0]}, whose random numbers no step could draw again: set it to 0.")
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    preprocess |= (content.get("preprocess_cfg") or {}) if "model_cfg" in content else {}
    preprocess.pop("size", None)  # the architecture's
    # Through JSON, as it will be read back from a record.
    read: dict[str, Any] = json.loads(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}))
    return read


def new_model(config: dict[str, Any], recipe: Recipe) -> Any:
    """The untrained model both references start from: a function of the architecture and the seed.

    The global random state is left as it was found.

    Raises:
        UsageError: open_clip can't build it or has no such preprocessing, or it normalises over batches.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]), quiet():
        (Path(folder) / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        torch.default_generator.manual_seed(seed_of("start weights", recipe.seed))
        try:
            model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
        except Exception as error:  # whatever a tower makes of a config
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(f"open_clip can't build {recipe.arch}: {reason}") from error
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise UsageError(
            f"{recipe.arch} normalises over batches (BatchNorm), so that its gradients depend on the number of "
            "processes and on --piece: take an architecture with LayerNorm, as a ViT or ConvNeXt."
        )
    try:
        assemble(recipe.arch, model, config, None)  # as it will be when it is loaded
    except CheckpointError as error:
        raise UsageError(str(error)) from error
    with torch.no_grad():
        model.logit_scale.fill_(math.log(recipe.init_logit_scale))
    return model.requires_grad_(True)


@contextmanager
def quiet() -> Iterator[None]:
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # open_clip reports each step of building to the root logger
    try:
        yield
    finally:
        logger.setLevel(level)
