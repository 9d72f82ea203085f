"""One small build, shared by all tests of a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from salmu_dataset.build import build
from salmu_dataset.manifest import Arguments

#: Eight people of six countries, with as few and as small pictures as the splits allow.
SMALL = Arguments(identities=8, countries=6, size=72, pairs=12, candidates=13)


@pytest.fixture(scope="session")
def small() -> Arguments:
    return SMALL


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, float]]]:
    """A finished build with its stages, and the progress that was reported."""
    folder = tmp_path_factory.mktemp("dataset") / "built"
    said: list[tuple[str, float]] = []
    build(folder, SMALL, 1, lambda stage, done: said.append((stage, done)), keep_stages=True)
    return folder, said
