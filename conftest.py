"""For every test of the repository, plugins' included: quiet threads, and no trace in the user's cache."""

import gc
import os

import pytest

pytest_plugins = ["pytester"]

# Threads that wait by spinning starve each other on a busy machine; read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Workers have a core each, and models so small that a second thread costs more than it computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # accelerate collects garbage around every run: it need not look at what the libraries hold


def pytest_sessionfinish():
    gc.unfreeze()  # libraries that count what is left at the end would call it a leak


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALMU_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
