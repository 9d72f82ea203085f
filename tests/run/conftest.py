"""A run that was killed, for all tests that make it again."""

import shutil

import pytest
from attempts import FACTS, LOSS, Attempts, record

from salmu_core import MethodSpec
from salmu_core.testing import run_method


@pytest.fixture(scope="session")
def session(tiny):
    _, found = run_method(MethodSpec(**FACTS, unlearn=lambda ctx: None), tiny)
    return found


@pytest.fixture(scope="session")
def undisturbed(session, tmp_path_factory):
    """The record of a run by `LOSS` that nobody interrupted."""
    return record(Attempts(LOSS, session, tmp_path_factory.mktemp("none")).whole())


@pytest.fixture(scope="session")
def half(session, tmp_path_factory):
    """What is kept of a run by `LOSS` that was killed at its sixth step."""
    attempts = Attempts(LOSS, session, tmp_path_factory.mktemp("half") / "saves")
    attempts.killed(6)
    return attempts.folder


@pytest.fixture
def killed(half, session, tmp_path):
    """Further attempts at that run."""
    return Attempts(LOSS, session, shutil.copytree(half, tmp_path / "saves"))
