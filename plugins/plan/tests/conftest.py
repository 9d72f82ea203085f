"""The command line, in processes of their own that are forked from one with torch."""

import os

import pytest
from launcher import Launcher


@pytest.fixture(scope="session")
def launcher():
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def tiny(tiny_benchmark):
    return tiny_benchmark


@pytest.fixture
def salmu(launcher, tmp_path):
    """Run the command line in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()

    def run(*words):
        environment = {**os.environ, "SALMU_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"}
        return launcher.run([*map(str, words)], work, environment, timeout=240)

    run.folder = work
    return run
