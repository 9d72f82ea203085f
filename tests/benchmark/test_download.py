"""`salmu download`: fetched from a hub by its real client, checked to the byte, and used without a network."""

import json
import shutil
import socket
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from fake_hub import serve
from huggingface_hub import constants

from salmu_core.benchmark.download.fetch import download
from salmu_core.contract import layout
from salmu_core.errors import BenchmarkError
from salmu_core.plugins.zoo import discover

pytest_plugins = ["published_fixtures"]
RUN = ("negative-gradient", "--benchmark", "published", "--set", "negative-gradient.batch_size=8")
SHARD = "data/forget-00000-of-00001.parquet"


# The whole way, as people go it


def test_from_an_empty_cache_to_a_run_without_a_network(salmu, tiny, published, repositories, tmp_path):
    env = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    words = ("download", "published", "--zeroshot", tiny / "zeroshot", "--json")
    # The client keeps what it gets in pieces of this size.
    piece = constants.DOWNLOAD_CHUNK_SIZE
    repositories["data"].files[layout.FRAGILE_SIMILARITIES] = b"{" + b" " * (2 * piece) + b"}"
    published(revision="main")
    with serve(*repositories.values()) as hub:
        hub.cut.add(layout.FRAGILE_SIMILARITIES)
        first = salmu(*words, HF_ENDPOINT=hub.url, **env)
        assert first.returncode == 0, first.stderr
        assert hub.fetched(layout.FRAGILE_SIMILARITIES) == [None, f"bytes={piece}-"], "it goes on where it broke off"
        assert not hub.fetched("README.md") and not hub.fetched("data/other.bin")
        found = json.loads(first.stdout)
        commits = {role: found["repositories"][role]["commit"] for role in repositories}
        assert commits == {role: each.commit for role, each in repositories.items()}
        assert found["repositories"]["data"]["fetched"] == 4 + 5 and found["ready"]
        asked = hub.requests
        again = salmu("download", "published", "--json", HF_ENDPOINT=hub.url, **env)
        assert again.returncode == 0 and hub.requests == asked, "the second time asks the hub for nothing"
        assert json.loads(again.stdout)["zeroshot"] == str(tiny / "zeroshot")
    gone = salmu("download", "published", HF_HUB_OFFLINE="1", **env)
    assert gone.returncode == 0, gone.stderr
    said = " ".join(gone.stdout.split())
    assert "published is ready" in said and "forget 16" in said and commits["data"] in said
    shown = json.loads(salmu("benchmarks", "published", "--json").stdout)
    assert shown["built"] and shown["state"] == "downloaded" and commits["clean"] in shown["repositories"][1]
    done = salmu("run", *RUN, "--processes", "1", "--json", HF_HUB_OFFLINE="1", **env)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert run["status"] == "valid" and "GenKnow" in run["metrics"]


# From a hub


def test_what_came_whole_is_not_fetched_again(here, repositories):
    with serve(*repositories.values()) as hub:
        here.at(hub.url)
        lost = repositories["data"].files.pop("fragile_set_ids.json")
        repositories["data"].files["fragile_set_ids.json"] = lost
        first = here.get()
        blob = (first.snapshots["data"].folder / SHARD).resolve()
        blob.unlink()
        hub.asked.clear()
        again = here.get()
        assert hub.fetched(SHARD) == [None] and {path for _, path, _ in hub.asked} == {SHARD}
        assert again.snapshots["data"].fetched == 1 and here.open().hashes[SHARD] == blob.name


def test_another_files_content_is_caught(here, repositories):
    with serve(*repositories.values()) as hub:
        here.at(hub.url)
        hub.instead[SHARD] = bytes(len(repositories["data"].files[SHARD]))
        hub.instead["open_clip_config.json"] = b" " * len(repositories["clean"].files["open_clip_config.json"])
        with pytest.raises(BenchmarkError, match=r"(?s)forget-0.*not the file the hub has.*config.*Delete these files"):
            here.get()
        with pytest.raises(BenchmarkError, match="not on this machine"):
            here.open()
        hub.instead.clear()
        for path in here.cache.rglob("blobs/*"):
            if not path.read_bytes().strip(b"\0 "):
                path.unlink()
        here.get()


def test_a_short_shard_is_no_smaller_benchmark(here, repositories, published, tiny, tmp_path):
    shard = tmp_path / "short.parquet"
    pq.write_table(pq.read_table(tiny / SHARD).slice(0, 15), shard)
    repositories["data"].files[SHARD] = shard.read_bytes()
    published(revision="main")
    zoo = discover()
    with serve(*repositories.values()) as hub:
        here.at(hub.url)
        with pytest.raises(BenchmarkError, match=r"split forget .* has 15 rows, not the 16 there should be"):
            download("published", zoo, lambda *_: None)


def test_a_branch_stays_where_it_was_until_it_is_asked_for(here, repositories):
    clean = repositories["clean"]
    with serve(*repositories.values()) as hub:
        here.at(hub.url)
        before = here.get().snapshots["clean"].commit
        config = json.loads(clean.files["open_clip_config.json"])
        clean.files["open_clip_config.json"] = json.dumps({**config, "new": 1}).encode()
        assert clean.commit != before == here.get().snapshots["clean"].commit
        one = here.open().model_hash("clean")
        moved = here.get(revisions={"clean": "main"})
        assert moved.snapshots["clean"].commit == clean.commit and here.open().model_hash("clean") != one
        assert here.get(revisions={"clean": clean.commit}).snapshots["clean"].commit == clean.commit
        assert "clean at" in here.open().notice
        with pytest.raises(BenchmarkError, match="has no revision 'v9'"):
            here.get(revisions={"clean": "v9"})
        with pytest.raises(BenchmarkError, match="no commit that begins with 0123abc"):
            here.get(revisions={"clean": "0123abc"})


def test_what_a_hub_refuses_is_a_sentence(here, repositories, monkeypatch):
    with serve(repositories["clean"], repositories["compromised"]) as hub:
        here.at(hub.url)
        with pytest.raises(BenchmarkError, match="there is no dataset an-owner/the-data"):
            here.get()
        hub.repositories["an-owner/the-data"] = repositories["data"]
        repositories["data"].gated = True
        with pytest.raises(BenchmarkError, match="agree to its terms"):
            here.get()
        repositories["data"].gated = False
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        with pytest.raises(BenchmarkError, match=r"needs 0\.\d\d MB more .* HF_HOME"):
            here.get()
        assert not hub.asked
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        here.at(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(BenchmarkError, match=r"could not be fetched \(ConnectError.*copy the Hugging Face cache"):
            here.get()
