"""What can be computed again: whole or absent, never another thing, and no more of it than there should be."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from salmu_core.disk import cache, space
from salmu_core.disk.cache import recall, remember, take_over
from salmu_core.disk.files import replacing
from salmu_core.disk.owners import abandoned
from salmu_core.disk.space import keep_within, remove, size_of, things
from salmu_core.errors import UsageError

KEY = {"model": "abc", "rows": [1, 2]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SALMU_CACHE_LIMIT", raising=False)
    monkeypatch.setattr(space, "_IN_USE", set())
    return tmp_path / "cache"


def entry(folder, kind="tokens"):
    (path,) = (folder / kind).iterdir()
    return path


def test_what_is_kept_comes_back_under_its_own_key_only(folder):
    assert recall("tokens", KEY) is None
    remember("tokens", KEY, b"some bytes")
    assert recall("tokens", dict(reversed(KEY.items()))) == b"some bytes"
    assert recall("tokens", {**KEY, "rows": [2, 1]}) is None and recall("embeddings", KEY) is None
    remember("tokens", KEY, b"others")
    assert recall("tokens", KEY) == b"others" and entry(folder)


def test_every_flipped_bit_and_every_cut_makes_it_absent(folder):
    remember("tokens", KEY, bytes(range(20)))
    path = entry(folder)
    content = path.read_bytes()
    for place in range(len(content)):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]):
            path.write_bytes(damaged)
            assert recall("tokens", KEY) is None
    path.write_bytes(content + b"\0")
    assert recall("tokens", KEY) is None
    remember("tokens", KEY, bytes(range(20)))
    assert recall("tokens", KEY) == bytes(range(20)) and path.read_bytes() == content


def test_of_what_a_plugins_process_leaves_its_own_whole_files_are_taken_and_nothing_that_links_lead_to(
    folder, tmp_path
):
    aside, hidden, name = tmp_path / "aside" / "embeddings" / "x", tmp_path / "hidden", "0" * 32
    for place in (aside, hidden / "x"):
        place.mkdir(parents=True)
        (place / name).write_bytes(b"content" * 1_000_000)
    (aside / ("1" * 32)).symlink_to(hidden / "x" / name)
    os.mkfifo(aside / ("2" * 32))
    with (aside / ("3" * 32)).open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "aside" / "gradients").symlink_to(hidden)
    take_over("x", tmp_path / "aside")
    taken = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.relative_to(folder).as_posix() for path in taken] == [f"embeddings/x/{name}"]
    assert taken[0].read_bytes() == b"content" * 1_000_000
    (tmp_path / "linked" / "embeddings").mkdir(parents=True)
    (tmp_path / "linked" / "embeddings" / "y").symlink_to(hidden / "x")
    take_over("y", tmp_path / "linked")
    assert not (folder / "embeddings" / "y").exists()


def test_another_entry_in_its_place_is_not_taken(folder):
    remember("tokens", KEY, b"mine")
    mine = entry(folder)
    remember("tokens", "another", b"theirs")
    (theirs,) = set((folder / "tokens").iterdir()) - {mine}
    theirs.replace(mine)
    assert recall("tokens", KEY) is None


@pytest.mark.parametrize("obstacle", ["a file", "a pipe", "read-only", "full"])
def test_a_cache_that_takes_nothing_is_said_once_and_raises_nothing(folder, monkeypatch, caplog, obstacle):
    if obstacle == "a file":
        folder.write_text("no folder")
    elif obstacle == "a pipe":
        remember("tokens", KEY, b"x")
        path = entry(folder)
        path.unlink()
        os.mkfifo(path)
    else:

        def fails(*_, **__):
            raise OSError(28, "No space left on device") if obstacle == "full" else PermissionError(13, "denied")

        monkeypatch.setattr(cache, "replacing", fails)
    for number in range(3):
        remember("tokens", KEY, b"content")
        remember("embeddings", number, b"content")
        assert recall("tokens", KEY) is None
    (record,) = caplog.records
    assert str(folder) in record.getMessage() and "\n" not in record.getMessage()


def test_where_it_can_only_be_read_what_is_there_is_used(folder, monkeypatch, caplog):
    remember("tokens", KEY, b"content")

    def fails(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(space.os, "utime", fails)
    assert recall("tokens", KEY) == b"content" and not caplog.records


def test_who_is_killed_while_writing_leaves_nothing_that_is_taken(folder):
    code = (
        "import os\nfrom salmu_core.disk import cache\nfrom pathlib import Path\n"
        "os.replace = lambda *_: os._exit(9)\ncache.remember('tokens', 'k', b'content')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert recall("tokens", "k") is None
    assert abandoned(entry(folder)) and [thing.used for thing in things()] == [0.0]
    with replacing(folder / "tokens" / "other") as mine:
        assert not abandoned(mine) and not things()  # the other's is swept, mine is at work
    (folder / "tokens" / "other").unlink()
    assert not [*(folder / "tokens").iterdir()]


def fill(folder, *ages, size=1000, kind="tokens"):
    """Entries of those ages in hours, by age."""
    made = {}
    for age in ages:
        remember(kind, age, bytes(size))
        (path,) = set((folder / kind).iterdir()) - {*made.values()}
        os.utime(path, (0, time.time() - 3600 * age))
        made[age] = path
    space._IN_USE.clear()
    return made


def test_what_was_not_used_longest_goes_first(folder):
    made = fill(folder, 5, 1, 9, 3)
    assert recall("tokens", 9) is not None
    space._IN_USE.clear()
    gone = keep_within(2500)
    assert [thing.path for thing in gone] == [made[5], made[3]]
    assert {thing.path for thing in things()} == {made[1], made[9]}
    assert not keep_within(2500)


def test_what_this_process_uses_stays_and_so_do_worlds_and_what_others_put_there(folder):
    made = fill(folder, 5, 1)
    assert recall("tokens", 5) is not None
    world = folder / "small" / "1" / "world-0"
    (world / "data").mkdir(parents=True)
    (world / "data" / "rows").write_bytes(bytes(5000))
    (folder / "holiday.jpg").write_bytes(bytes(700))
    assert [thing.path for thing in keep_within(10)] == [made[1]]
    left = {thing.kind: thing for thing in things()}
    assert left["tokens"].path == made[5] and left["benchmarks"].path == world and left["benchmarks"].size == 5000
    assert left[""].path == folder / "holiday.jpg"


def test_a_limit_is_looked_after_while_things_are_written(folder, monkeypatch):
    fill(folder, 7, 8, 9)
    monkeypatch.setenv("SALMU_CACHE_LIMIT", "3 kB")
    monkeypatch.setattr(cache._Written, "bytes", float("inf"))
    for number in range(3):
        remember("embeddings", number, bytes(800))
    kinds = [thing.kind for thing in things()]
    assert kinds.count("embeddings") == 3 and kinds.count("tokens") < 3
    assert sum(thing.size for thing in things()) <= 3000


def test_a_folder_that_vanishes_while_it_is_looked_through_is_no_error(folder, monkeypatch):
    remember("tokens", KEY, b"content")
    monkeypatch.setenv("SALMU_CACHE_LIMIT", "1kB")
    glob = Path.glob

    def vanishing(path, pattern):
        if path.name == "tokens":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return glob(path, pattern)

    monkeypatch.setattr(Path, "glob", vanishing)
    remember("embeddings", KEY, bytes(5000))
    assert recall("embeddings", KEY) == bytes(5000) and {thing.kind for thing in things()} == {"embeddings"}


@pytest.mark.parametrize("when", [-(10.0**12), 10.0**12])
def test_times_of_a_clock_gone_wrong_are_within_times_that_there_are(folder, monkeypatch, when):
    remember("tokens", KEY, b"content")
    real = os.lstat

    class Stat:
        def __init__(self, path):
            self._of = real(path)

        def __getattr__(self, name):
            return when if name == "st_mtime" else getattr(self._of, name)

    monkeypatch.setattr(Path, "lstat", lambda path: Stat(path))
    (thing,) = things()
    assert 0 <= thing.used <= time.time()


def test_removing_leaves_what_a_link_leads_to(folder, tmp_path):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    (folder / "small" / "1").mkdir(parents=True)
    (folder / "small" / "1" / "world-0").symlink_to(outside)
    (thing,) = things()
    assert [*remove([thing])] == [thing] and not things()
    assert (outside / "kept").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50GB", 50_000_000_000),
        ("1.5 tb", 1_500_000_000_000),
        ("2GiB", 2**31),
        ("800k", 800_000),
        (" 12 ", 12),
        ("0", 0),
    ],
)
def test_sizes_as_people_write_them(text, size):
    assert size_of(text, "--limit") == size


@pytest.mark.parametrize("text", ["", "lots", "-5GB", "5 XB", "1e3", "nan", "5GB\n6GB", "٣GB", "9" * 400])
def test_what_is_no_size_is_a_sentence(text, monkeypatch):
    with pytest.raises(UsageError, match="no size"):
        size_of(text, "--limit")
    if text:
        monkeypatch.setenv("SALMU_CACHE_LIMIT", text)
        with pytest.raises(UsageError, match="SALMU_CACHE_LIMIT"):
            space.size_limit()
