"""A run of its own settings; and two requests, with retain pairs of the user's own, that begin where it ended."""

import os
import shutil

import pytest
from launcher import Launcher
from shards import pairs

from salmu_core.plugins.zoo import discover
from salmu_core.testing import write_tiny_benchmark


@pytest.fixture(scope="session")
def launcher():
    made = Launcher()
    yield made
    made.close()


@pytest.fixture(scope="session")
def zoo():
    return discover()


@pytest.fixture(scope="session")
def place(tmp_path_factory, launcher):
    """The folder, both of its runs, and how a command is given there."""
    place = tmp_path_factory.mktemp("place")
    write_tiny_benchmark(place / "bench", people=4, pairs=2)
    pairs(place / "own.tar")

    def salmu(*words):
        whole = {**os.environ, "SALMU_CACHE": str(place / "cache"), "COLUMNS": "100"}
        return launcher.run([*words], place, whole, timeout=240)

    words = ["run", "finetuning", "--benchmark", "bench", "--seed", "3", "--set", "finetuning.batch_size=4"]
    first = salmu(*words, "--budget", "2", "--attack", "bare-value")
    (run,) = (place / "runs").glob("*/finetuning/*/b2-s3")
    more = ["--budget", "1", "--from", str(run), "--requests", "2", "--retain", "own.tar"]
    second = salmu(*words, *more)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    place_of = type("Place", (), {"folder": place, "salmu": staticmethod(salmu), "run": run})
    place_of.last = next(run.parent.glob("b1-*-q2of2-*"))
    return place_of


@pytest.fixture
def copy(place, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(place.run, tmp_path / "copy")
