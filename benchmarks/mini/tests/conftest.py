"""One tiny built benchmark, shared by all tests of a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from salmu_mini.build import build
from salmu_mini.recipe import Recipe

TINY = Recipe(
    personas=8,
    forgotten=2,
    held_out=2,
    pairs_per_attribute=2,
    retain_scenes=128,
    retain_people=24,
    pool_scenes=64,
    pool_people=8,
    pool_documents=16,
    homonyms=8,
    test_per_class=1,
    vision_width=32,
    vision_layers=1,
    text_width=32,
    text_layers=1,
    embed_dim=16,
    steps=3,
    retain_batch=32,
    sensitive_batch=8,
    warmup=1,
)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    return TINY


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, float]]]:
    """The folder of world 0 and the progress that was reported."""
    folder = tmp_path_factory.mktemp("mini")
    said: list[tuple[str, float]] = []
    build(folder, 0, lambda stage, done: said.append((stage, done)), TINY)
    return folder, said
