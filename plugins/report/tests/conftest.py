"""A browser, and results folders to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Open, executable, launched, visiting
from grounds import Ground, write_benchmark, write_large_store, write_small_store
from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's executable, looked for once."""
    return executable()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser process; while it runs, no test of its process can use asyncio, so it ends with the module."""
    with launched(chromium) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """``open_page(path, width, height, scheme)``; in the end, no page may have complained or asked for anything."""
    with visiting(browser) as opening:
        yield opening


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark that the results folders are of; tests must not change it."""
    return write_benchmark(tmp_path_factory.mktemp("ground") / "benchmark")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, ground: Path) -> Ground:
    """Thirteen runs; tests must not change them."""
    return write_small_store(tmp_path_factory.mktemp("store") / "runs", ground)


@pytest.fixture(scope="session")
def large_store(tmp_path_factory: pytest.TempPathFactory, ground: Path) -> Ground:
    """A hundred runs and three; tests must not change them."""
    return write_large_store(tmp_path_factory.mktemp("large") / "runs", ground)
