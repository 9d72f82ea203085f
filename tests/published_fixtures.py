"""Fixtures: the tiny benchmark as a published one, in three repositories and in caches of the hub's client."""

import importlib
import sys
from types import SimpleNamespace

import pytest
from fake_hub import Repository
from huggingface_hub import constants

from salmu_core.benchmark.download.fetch import download
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.plugins.zoo import discover

PLUGIN = """
from salmu_core import Band, BenchmarkSpec, Recommended, hookimpl
from salmu_core.contract.specs import HubRepo, Release

FILES = ("data/*.parquet", "*.json")
AROUND = ("open_clip_config.json", "vocab.json")
RELEASE = Release(
    data=HubRepo(repo_id="an-owner/the-data", kind="dataset", revision="{revision}", files=FILES),
    clean=HubRepo(repo_id="an-owner/clean", kind="model", files=("open_clip_model.safetensors", *AROUND)),
    compromised=HubRepo(repo_id="an-owner/compromised", kind="model", files=("open_clip_model.safetensors", *AROUND)),
    rows={{"forget": 16, "forget_identity": 8, "holdout_association": 8, "holdout_identity": 8, "retain_synth": 32}},
    identities={{"forget": 6, "forget_identity": 2, "forget_association": 4, "holdout_identity": 2}},
    num_train=1000,
    metrics={{"RetFail": {{"draw": "rows"}}}},
    bring="Bring the pictures.",
)
BANDS = ({bands})

@hookimpl
def salmu_benchmarks():
    facts = {{"name": "published", "version": "1", "summary": "A test."}}
    settings = {{"finetuning": Recommended(config={{"lr": 1e-7}}, budget=2, source="Its authors.")}}
    return [BenchmarkSpec(**facts, bands=BANDS, release=RELEASE, settings=settings)]
"""


def content(folder, *patterns):
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def repositories(tiny):
    """The tiny benchmark as three repositories, with files nobody asks for."""
    data = content(tiny, "data/*", "*.json")
    models = {role: content(tiny / role, "open_clip*") for role in ("clean", "compromised")}
    return {
        "data": Repository("an-owner/the-data", "dataset", {**data, "README.md": b"# Data\n", "data/other.bin": b"?"}),
        "clean": Repository("an-owner/clean", "model", {**models["clean"], "README.md": b"# Clean\n"}),
        "compromised": Repository("an-owner/compromised", "model", models["compromised"]),
    }


@pytest.fixture
def published(install, site, repositories):
    """Install a benchmark that declares them; called again with bands, it declares these."""

    def declare(bands="", revision=repositories["data"].commit[:8]):
        module = PLUGIN.format(revision=revision, bands=bands)
        if declare.done:
            (site / "test_plugin_published.py").write_text(module)
            sys.modules.pop("test_plugin_published", None)
            importlib.invalidate_caches()
        else:
            install("published", module)
            declare.done = True

    declare.done = False
    return declare


@pytest.fixture
def here(published, tmp_path, monkeypatch):
    """A cache of the hub's client and one of ours, both empty, and `download` in this process."""
    published()
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    zoo = discover()

    def at(url):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")

    return SimpleNamespace(
        cache=tmp_path / "hf" / "hub",
        at=at,
        zoo=zoo,
        get=lambda **options: download("published", zoo, lambda *_: None, **options),
        open=lambda: open_benchmark("published", zoo, lambda *_: None),
    )


@pytest.fixture
def laid(here, repositories):
    """The same with the client's cache filled by hand, and no network."""
    for repository in repositories.values():
        repository.lay_out(here.cache)
    return here
