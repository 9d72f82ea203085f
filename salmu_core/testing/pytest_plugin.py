"""Fixtures for the tests of plugins, there wherever salmu-core is installed. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import nn

    from salmu_core.testing.isolation import IsolatedPlugins

_DESELECTED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers of conformance tests known."""
    config.addinivalue_line("markers", "salmu_conformance: a rule of conformance of a SALMU plugin")
    config.addinivalue_line("markers", "xdist_group(name): tests that pytest-xdist runs in one process")
    config.stash[_DESELECTED] = []


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember rules that are left out, by -k, --deselect or a hook."""
    for item in items:
        if item.get_closest_marker("salmu_conformance"):
            item.config.stash[_DESELECTED].append(item.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """No rule is dropped in silence."""
    left_out = config.stash[_DESELECTED]
    if left_out:
        terminalreporter.write_line(
            f"salmu: {len(left_out)} rules of conformance were left out, the first is {left_out[0]}", yellow=True
        )


@pytest.fixture(scope="session")
def tiny_benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark folder of a few dozen rows in the released layout, with untrained models; not to be changed."""
    from salmu_core.testing.tiny import write_tiny_benchmark

    return write_tiny_benchmark(tmp_path_factory.mktemp("salmu") / "tiny")


@pytest.fixture
def tiny_model() -> nn.Module:
    """An untrained open_clip CLIP of 0.8 million weights, in eval mode, of your own."""
    from salmu_core.testing.tiny import tiny_model as make

    return make()


@pytest.fixture
def isolated_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedPlugins]:
    """Discovery that is blind to what is installed, and sees only what the test installs here."""
    from salmu_core.testing.isolation import IsolatedPlugins

    isolated = IsolatedPlugins(tmp_path / "site-packages", monkeypatch)
    yield isolated
    isolated.forget()
