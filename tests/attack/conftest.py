"""One ground for all tests of a process: its Compromised is trained once."""

import pytest
from attack_ground import Ground, write_ground

from salmu_core.plugins.zoo import discover


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A benchmark whose Compromised knows its pairs; tests must not change it."""
    return write_ground(tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="session")
def ground(trained):
    """Attacks on its checkpoints."""
    return Ground(trained, list(discover().metrics.values()))
