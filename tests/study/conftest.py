"""A study whose results are changed by hand, and trackers that exist for one test only."""

import os
import shutil
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from trackers import BROUGHT, Listener

from salmu_core.plugins import named as by_name
from salmu_core.testing import write_tiny_benchmark


@pytest.fixture(scope="session")
def place(tmp_path_factory, launcher):
    """A run of its own settings, that was attacked."""
    place = tmp_path_factory.mktemp("place")
    write_tiny_benchmark(place / "bench", people=4, pairs=2)

    def salmu(*words):
        whole = {**os.environ, "SALMU_CACHE": str(place / "cache"), "COLUMNS": "100"}
        return launcher.run([*words], place, whole, timeout=240)

    words = ["--benchmark", "bench", "--seed", "3", "--set", "finetuning.batch_size=4", "--budget", "2"]
    ended = salmu("run", "finetuning", *words, "--attack", "bare-value")
    assert ended.returncode == 0, ended.stderr
    (run,) = (place / "runs").glob("*/finetuning/*/b2-s3")
    return SimpleNamespace(folder=place, salmu=salmu, run=run)


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
