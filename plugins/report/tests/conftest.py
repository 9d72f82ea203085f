"""A browser, and results folders to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Open, executable, launched, visiting
from grounds import HOSTILE_PERSON, KINDS, Ground, write_benchmark, write_large_store, write_small_store, write_store
from playwright.sync_api import Browser
from salmu_report.cli import report
from salmu_report.people import read_people


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


@pytest.fixture(scope="session")
def found(store):
    return store.read()


@pytest.fixture(scope="session")
def people(found):
    return read_people(found.data("ground"))


@pytest.fixture(scope="session")
def worlds(tmp_path_factory, ground):
    """Two worlds, of which only the first has data here; one method is in the second alone."""
    runs = tmp_path_factory.mktemp("worlds") / "runs"
    ground = write_store(runs, ground, KINDS[:3], worlds=2, failures=False)
    for folder in runs.glob("ground/direct-similarity"):
        shutil.rmtree(folder)
    return ground.read()


@pytest.fixture(scope="session")
def page_of(tmp_path_factory):
    """Makes the page of a results folder, once."""
    made: dict[Path, Path] = {}

    def make(ground):
        if ground.runs not in made:
            made[ground.runs] = tmp_path_factory.mktemp("page") / "report.html"
            report(ground.runs, made[ground.runs], str(ground.benchmark), [], 12, [HOSTILE_PERSON])
        return made[ground.runs]

    return make


@pytest.fixture
def page(page_of, store, open_page):
    return open_page(page_of(store), 1600, 1000, "light")


@pytest.fixture(scope="session")
def lines(store):
    """The table's lines, as `salmu results --json` prints them."""
    return store.read().comparison.as_json()["lines"]
