"""A run that was made once."""

import shutil

import pytest
from published import salmu

from salmu_core.plugins.zoo import discover


@pytest.fixture(scope="session")
def made(tiny_benchmark, tmp_path_factory):
    """A results folder with one run."""
    folder = tmp_path_factory.mktemp("published") / "runs"
    words = ["run", "finetuning", "--benchmark", tiny_benchmark, "--set", "finetuning.batch_size=8", "--output", folder]
    done = salmu(*words)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def run(made, tmp_path):
    """A run that may be changed."""
    (found,) = shutil.copytree(made, tmp_path / "runs").glob("*/finetuning/*/b5-s0")
    return found


@pytest.fixture(scope="session")
def zoo():
    return discover()
