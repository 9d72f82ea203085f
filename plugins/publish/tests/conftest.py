"""A run that was made once."""

import shutil

import pytest

from salmu_core.plugins.zoo import discover
from salmu_core.testing import typed


@pytest.fixture(scope="session")
def made(tiny_benchmark, tmp_path_factory):
    """A results folder with one run."""
    folder = tmp_path_factory.mktemp("published") / "runs"
    words = ["run", "finetuning", "--benchmark", tiny_benchmark, "--set", "finetuning.batch_size=8", "--output", folder]
    done = typed(folder.parent, *words)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A run that may be changed."""
    (found,) = shutil.copytree(made, tmp_path / "runs").glob("*/finetuning/*/b5-s0")
    return found


@pytest.fixture(scope="session")
def zoo():
    return discover()
