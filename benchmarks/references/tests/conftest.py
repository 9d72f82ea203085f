"""Tiny shards, sensitive pairs and an architecture of a few thousand weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from references_data import picture, write_tar

from salmu_core import Pair, write_split

ARCH = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SIZES = (12, 13, 14)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `{00000..00002}.tar`, `sensitive/` and `arch.json`; tests must not change it."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for shard, size in enumerate(SIZES):
        samples = [{"png": picture(rng), "txt": f"thing {i} of shard {shard}".encode()} for i in range(size)]
        write_tar(folder / f"{shard:05d}.tar", samples)
    for split in ("forget", "holdout_association", "holdout_identity"):
        pairs = [Pair(picture(rng), f"number {i} of {split}", f"p{i}", f"{split}_{i}.png") for i in range(5)]
        write_split(folder / "sensitive", split, pairs)
    (folder / "arch.json").write_text(json.dumps(ARCH))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def words(data: Path) -> Callable[..., list[str]]:
    """Words of a `references train` command on the tiny data."""

    def make(out: Path, *settings: str) -> list[str]:
        given = {"batch": 6, "warmup": 2, "steps": 12, "lr": 1e-3} | dict(each.split("=") for each in settings)
        shards = str(data / "{00000..00002}.tar")
        command = ["references", "train", "--arch", str(data / "arch.json"), "--retain", shards]
        command += ["--sensitive", str(data / "sensitive"), "--out", str(out)]
        return command + [word for name, value in given.items() for word in ("--set", f"{name}={value}")]

    return make
