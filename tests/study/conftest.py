"""A study whose runs are told to be made again, or are changed by hand."""

import os
import shutil
from importlib.metadata import EntryPoint

import pytest
from shards import pairs
from trackers import BROUGHT, Listener

from salmu_core.plugins import named as by_name
from salmu_core.testing import write_tiny_benchmark


@pytest.fixture(scope="session")
def place(tmp_path_factory, launcher):
    """A run of its own settings; and two requests, with retain pairs of the user's own, that begin where it ended."""
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


@pytest.fixture(scope="session")
def results(place, tmp_path_factory):
    """The results of the first run alone."""
    runs = tmp_path_factory.mktemp("results")
    (world,) = (place.folder / "runs").iterdir()
    shutil.copytree(world / "_references", runs / world.name / "_references")
    shutil.copytree(place.run, runs / place.run.relative_to(place.folder / "runs"))
    return runs


@pytest.fixture
def bring(monkeypatch):
    """Install classes of trackers as entry points, by name, and nothing else."""
    points = []

    class Point(EntryPoint):
        def load(self):
            return BROUGHT[self.value]

    monkeypatch.setattr(by_name, "entry_points", lambda group: points)

    def add(name, kind):
        value = f"module{len(BROUGHT)}:{name}"
        BROUGHT[value] = kind
        points.append(Point(name, value, "salmu.trackers"))

    yield add
    BROUGHT.clear()


@pytest.fixture
def heard(bring, monkeypatch):
    """What the tracker `listener` is told."""
    monkeypatch.setattr(Listener, "heard", [], raising=False)
    bring("listener", Listener)
    return Listener.heard
