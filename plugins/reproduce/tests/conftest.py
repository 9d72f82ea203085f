"""A run of its own settings; and two requests, with retain pairs of the user's own, that begin where it ended."""

import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from salmu_core.plugins.zoo import discover
from salmu_core.testing import typed, write_tiny_benchmark


class Place(NamedTuple):
    """A folder with a benchmark ``bench``, shards ``own.tar`` and ``other.tar``, and results ``runs``.

    Attributes:
        run: Of two units of budget, which was attacked.
        last: The second of two requests that begin with ``run``.
    """

    folder: Path
    run: Path
    last: Path


def _write_shard(path, count):
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            image = BytesIO()
            Image.new("RGB", (16, 16), (30 * number, 9, 7)).save(image, "png")
            for suffix, content in (("png", image.getvalue()), ("txt", f"pair {number}".encode())):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    write_tiny_benchmark(folder / "bench", people=4, pairs=2)
    _write_shard(folder / "own.tar", 8)
    _write_shard(folder / "other.tar", 4)
    words = ["run", "finetuning", "--benchmark", "bench", "--seed", "3", "--set", "finetuning.batch_size=4"]
    cache = {"SALMU_CACHE": str(folder / "cache")}
    first = typed(folder, *words, "--budget", "2", "--attack", "bare-value", **cache)
    assert first.returncode == 0, first.stderr
    (run,) = (folder / "runs").glob("*/finetuning/*/b2-s3")
    second = typed(folder, *words, "--budget", "1", "--from", run, "--requests", "2", "--retain", "own.tar", **cache)
    assert second.returncode == 0, second.stderr
    (last,) = run.parent.glob("b1-*-q2of2-*")
    return Place(folder, run, last)


@pytest.fixture
def reproduce(place):
    """The command, given in that folder, in an interpreter of its own."""
    environment = {**os.environ, "SALMU_CACHE": str(place.folder / "cache"), "COLUMNS": "100"}

    def call(*words):
        command = [sys.executable, "-m", "salmu_core", "reproduce", *map(str, words)]
        return subprocess.run(command, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=240)

    return call


@pytest.fixture
def copy(place, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(place.run, tmp_path / "copy")


@pytest.fixture(scope="session")
def zoo():
    return discover()
