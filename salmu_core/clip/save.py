"""Writes checkpoints that open_clip loads: safetensors beside ``open_clip_config.json``, and a canary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from salmu_core.clip.canary import make_canary, write_canary
from salmu_core.clip.model import assemble, plain_tokenizer
from salmu_core.clip.name import CONFIG
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_file
from salmu_core.disk.tensors import write_tensors


def save_checkpoint(folder: Path, model: nn.Module, config: dict[str, Any], tokenizer: Any = None) -> str:
    """Write a model so that open_clip's ``local-dir:`` loads it; returns the SHA-256 of its weights.

    Beside weights and config lie a tokenizer's files, where it has any, and ``salmu_canary.json``: embeddings of this
    very model, which `load_clip` compares with those of the model it loads.

    Args:
        folder: An existing folder.
        config: Content of ``open_clip_config.json``.
        tokenizer: open_clip's tokenizer of the model; needed only where the config names one of Hugging Face.

    Raises:
        CheckpointError: The config names a tokenizer that was not handed over, or a preprocessing there is not.
    """
    if tokenizer is None:
        tokenizer = plain_tokenizer(config)
    # Cloned: safetensors refuses tensors that share memory, and open_clip's towers may.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    write_tensors(folder / WEIGHTS, tensors, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if config["model_cfg"].get("text_cfg", {}).get("hf_tokenizer_name") and hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(str(folder))  # open_clip's local-dir: looks for its files here
    written = hash_file(folder / WEIGHTS)
    canary = make_canary(assemble(str(folder), model, config, tokenizer))
    write_canary(folder, canary.model_copy(update={"weights": written}))
    return written
