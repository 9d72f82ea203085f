"""A study that is made once, for all tests that begin with a finished one."""

import os
import shutil

import pytest
from stores import runs


@pytest.fixture(scope="session")
def whole(launcher, tiny, tmp_path_factory):
    """A folder of results with one run, and the command that has made it."""
    folder = tmp_path_factory.mktemp("whole")
    command = ("run", "finetuning", "--benchmark", str(tiny), "--set", "finetuning.batch_size=8")
    environment = {**os.environ, "SALMU_CACHE": str(folder / "cache")}
    done = launcher.run(command, folder, environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / "runs", command


@pytest.fixture
def finished(salmu, whole):
    """The run, in results of this test's own, and the command."""
    results, command = whole
    (folder,) = runs(shutil.copytree(results, salmu.folder / "runs"))
    return folder, command
