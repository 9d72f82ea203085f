"""Comparisons that tables are made of."""

import pytest
from leaderboards import MAKE, REFERENCES, ROWS, compared
from stores import around, leak, write_reference, write_run


@pytest.fixture(scope="session")
def found():
    return compared(ROWS)


@pytest.fixture(scope="session")
def worlds():
    """Three worlds and two seeds."""
    rows = [
        MAKE.row(method, {**REFERENCES["compromised"], **changes}, world, seed, spread=0.004)
        for method, changes in (("at-target", {}), ("off-target", {"AssocStr": 0.9, "GenKnow": 0.2}))
        for world in range(3)
        for seed in range(2)
    ]
    return compared(rows, 3, 0.004)


# The command


@pytest.fixture
def runs(tmp_path):
    """A results folder with a run and both reference models."""
    root = tmp_path / "my runs"
    means = {"GenKnow": 0.8, "InterIdSim": 0.5, "IntraIdSim": 0.5, "AssocStr": 0.4}
    for role, ranks in (("clean", [400] * 80), ("compromised", [*range(1, 81)])):
        write_reference(root, role, {**leak(ranks), **{name: around(mean, 1) for name, mean in means.items()}})
    write_run(root, "one", {**leak([90] * 80), **{name: around(mean, 2) for name, mean in means.items()}})
    return root
