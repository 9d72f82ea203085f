"""A small architecture."""

import open_clip
import pytest
import torch
from clip_models import KINDS
from safetensors.torch import save_file


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An architecture of open_clip's own list that is small, with a file of weights as its training writes it."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.factory._MODEL_CONFIGS["ViT-XS-8"] = KINDS["quick gelu"]
    model = open_clip.create_model("ViT-XS-8").eval()
    folder = tmp_path / "weights"
    folder.mkdir()
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    save_file(tensors, folder / "plain.safetensors")
    trained = {"epoch": 3, "name": "x", "state_dict": {f"module.{k}": v for k, v in tensors.items()}}
    torch.save(trained, folder / "epoch_3.pt")  # noqa: TID251 - as open_clip writes it
    torch.save(tensors, folder / "plain.bin")  # noqa: TID251
    return folder, model
