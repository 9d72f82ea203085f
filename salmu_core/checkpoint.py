"""Writes checkpoints that open_clip loads: safetensors beside ``open_clip_config.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from salmu_core.clip import CONFIG
from salmu_core.hashing import hash_file
from salmu_core.store import WEIGHTS


def save_checkpoint(folder: Path, model: nn.Module, config: dict[str, Any]) -> str:
    """Write a model so that open_clip's ``local-dir:`` loads it; returns the SHA-256 of its weights.

    Args:
        folder: An existing folder.
        model: The model.
        config: Content of ``open_clip_config.json``.
    """
    # Cloned: safetensors refuses tensors that share memory, and open_clip's towers may.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return hash_file(folder / WEIGHTS)
