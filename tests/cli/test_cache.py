"""What the cache holds, as a table and as JSON, and how it is made less."""

import json
import os
import time

import pytest
from filelock import FileLock

from salmu_core.disk.cache import remember
from salmu_core.disk.space import things


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache with a world of 5 kB, two tokens' entries of 1 kB (one old), pixels of 2 kB and somebody's file."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SALMU_CACHE", str(folder))
    (folder / "small" / "1" / "world-0").mkdir(parents=True)
    (folder / "small" / "1" / "world-0" / "rows").write_bytes(bytes(5000))
    (folder / "pixels" / "abc").mkdir(parents=True)
    (folder / "pixels" / "abc" / "forget.npy").write_bytes(bytes(2000))
    for name in ("old", "new"):
        remember("tokens", name, bytes(960))
        if name == "old":
            (path,) = (folder / "tokens").iterdir()
            os.utime(path, (0, time.time() - 90_000))
    (folder / "mine\x1b[31m.txt").write_bytes(bytes(300))
    return folder


def listed(done):
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    return content, {row["kind"]: (row["entries"], row["bytes"]) for row in content["kinds"]}


def test_it_says_what_lies_where_and_nothing_of_it_reaches_the_terminal(salmu, folder):
    content, kinds = listed(salmu("cache", "--json", SALMU_CACHE_LIMIT="2GB"))
    assert kinds == {"benchmarks": (1, 5000), "pixels": (1, 2000), "tokens": (2, 2000), None: (1, 300)}
    assert content["bytes"] == 9300 and content["limit"] == 2 * 10**9 and content["folder"] == str(folder)
    done = salmu("cache", SALMU_CACHE_LIMIT="2GB")
    assert "tokens" in done.stdout and "9 kB" in done.stdout and "limit of 2.0 GB" in done.stdout
    assert "\x1b" not in done.stdout
    content, kinds = listed(salmu("cache", "tokens", "--json"))
    assert kinds == {"tokens": (2, 2000)} and content["limit"] is None
    hostile = salmu("cache", SALMU_CACHE=str(folder / "no\x1b]0;x\x07ne"))
    assert hostile.returncode == 0 and "\x1b" not in hostile.stdout and "no\\x1b" in hostile.stdout


def test_a_limit_takes_what_was_not_used_longest_and_no_world(salmu, folder):
    content, kinds = listed(salmu("cache", "--limit", "8.5kB", "--json"))
    assert content["freed"] == {"entries": 1, "bytes": 1000} and kinds["tokens"] == (1, 1000)
    _, kinds = listed(salmu("cache", "--limit", "0", "--json"))
    assert kinds == {"benchmarks": (1, 5000), None: (1, 300)}


def test_clearing_takes_the_kinds_that_are_named_or_all_and_leaves_what_is_being_built(salmu, folder):
    done = salmu("cache", "--clear", "tokens", "pixels")
    assert done.returncode == 0 and "4 kB freed, 3 entries deleted" in done.stdout
    with FileLock(folder / "small" / "1" / ".world-0.lock"):
        done = salmu("cache", "--clear")
        assert done.returncode == 0 and "is building it" in done.stderr
    assert {thing.kind for thing in things()} == {"benchmarks", ""}
    assert "5 kB freed, 1 entry deleted" in salmu("cache", "--clear").stdout
    assert {thing.kind for thing in things()} == {""}


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (["--limit", "much"], {}, "no size"),
        ([], {"SALMU_CACHE_LIMIT": "much"}, "SALMU_CACHE_LIMIT 'much' is no size"),
        (["pixel"], {}, "'pixels'"),
        (["tokens", "--limit", "1GB"], {}, "whole cache"),
    ],
)
def test_what_makes_no_sense_is_a_sentence_and_nothing_is_deleted(salmu, folder, words, env, said):
    done = salmu("cache", *words, **env)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert len(things()) == 5


def test_a_study_within_no_size_is_refused_before_anything_is_built(salmu, tiny, folder):
    done = salmu("run", "finetuning", "--benchmark", tiny, SALMU_CACHE_LIMIT="a lot")
    assert done.returncode == 2 and "SALMU_CACHE_LIMIT 'a lot' is no size" in done.stderr
    assert not (salmu.folder / "runs").exists()


def test_a_study_goes_on_without_a_cache_says_so_once_and_gives_the_same(salmu, tiny, tmp_path):
    words = (
        "run",
        "direct-similarity",
        "vlunlearn",
        "--benchmark",
        tiny,
        "--budget",
        "1",
        "--json",
        "--processes",
        "2",
    )
    words = (*words, "--set", "direct-similarity.batch_size=4", "--set", "vlunlearn.batch_size=4")
    (tmp_path / "no folder").write_text("")
    without = salmu(*words, "--output", "without", SALMU_CACHE=str(tmp_path / "no folder"))
    assert without.returncode == 0 and "Traceback" not in without.stderr
    assert without.stderr.count("can't be used") == 1, without.stderr
    for name in ("cold", "warm"):
        done = salmu(*words, "--output", name, SALMU_CACHE=str(tmp_path / "some"))
        assert done.returncode == 0 and "can't be used" not in done.stderr
        for run, other in zip(*(json.loads(each.stdout)["runs"] for each in (without, done)), strict=True):
            for file in ("open_clip_model.safetensors", "per_row.parquet"):
                one, two = (salmu.folder / each["folder"] / file for each in (run, other))
                assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "some" / "embeddings").is_dir()
