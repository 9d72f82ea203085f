"""A file is read again where it may have changed, and only there."""

import os
import time

import pytest

from salmu_core.disk import file_hashes, stamps
from salmu_core.disk.file_hashes import Stamps
from salmu_core.disk.hashing import hash_file


@pytest.fixture(autouse=True)
def read(tmp_path, monkeypatch):
    """A cache of its own, in which files are old enough at once; returns the files that were read whole."""
    opened = []

    def hashed(path):
        opened.append(path.name)
        return hash_file(path)

    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 0)
    monkeypatch.setattr(file_hashes, "hash_file", hashed)
    return opened


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "runs"
    (made / "mini").mkdir(parents=True)
    for name in ("one", "two"):
        (made / "mini" / name).write_bytes(b"weights of " + name.encode())
    time.sleep(0.01)  # further from now than the kernel's clock is coarse
    return made


def hashes(folder):
    with Stamps(folder) as remembered:
        return {path.name: remembered(path) for path in sorted((folder / "mini").iterdir())}


def test_what_did_not_change_is_read_once(folder, read):
    first = hashes(folder)
    assert first == {name: hash_file(folder / "mini" / name) for name in ("one", "two")} and read == ["one", "two"]
    assert hashes(folder) == first and read == ["one", "two"]


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_flipped_byte_is_found(folder, read, keep_times):
    before, path = hashes(folder), folder / "mini" / "two"
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"W")
    if keep_times:  # ctime is nobody's to set
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = hashes(folder)
    assert after["two"] == hash_file(path) != before["two"] and read == ["one", "two", "two"]


def test_another_file_in_its_place_is_read(folder, read):
    path = folder / "mini" / "one"
    hashes(folder)
    stat, other = path.stat(), path.with_name(".new")
    other.write_bytes(b"WEIGHTS of one")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    assert hashes(folder)["one"] == hash_file(path) and read[2:] == ["one"]


def test_what_is_young_may_change_unseen_and_is_not_remembered(folder, read, monkeypatch):
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 3_600_000_000_000)
    assert hashes(folder) == hashes(folder) and read == ["one", "two"] * 2
    assert not (folder.parent / "cache").exists()


def test_what_changes_while_it_is_read_is_not_remembered(folder, read, monkeypatch):
    def changing(path):
        sha256 = hash_file(path)
        path.write_bytes(b"other weights")
        return sha256

    with monkeypatch.context() as patch:
        patch.setattr(file_hashes, "hash_file", changing)
        hashes(folder)
    assert hashes(folder)["one"] == hash_file(folder / "mini" / "one") and read == ["one", "two"]


def test_a_moved_folder_is_not_read_again(folder, read):
    first = hashes(folder)
    assert hashes(folder.rename(folder.with_name("kept"))) == first and read == ["one", "two"]


def test_read_only_results_are_remembered_too(folder, read):
    folder.chmod(0o555)
    (folder / "mini").chmod(0o555)
    assert hashes(folder) == hashes(folder) and read == ["one", "two"]


@pytest.mark.parametrize("content", ["", "[1]", '{"mini/one": [1, 2]}', '{"mini/one": 3}'])
def test_stamps_that_cannot_be_read_or_written_cost_a_reading(folder, read, content):
    first = hashes(folder)
    (file,) = (folder.parent / "cache" / "stamps").iterdir()
    file.write_text(content)
    assert hashes(folder) == first and read == ["one", "two"] * 2
    file.unlink()
    file.mkdir()
    assert hashes(folder) == first and read == ["one", "two"] * 3
    file.rmdir()
    file.parent.rmdir()
    file.parent.write_text("no folder")
    assert hashes(folder) == first and read == ["one", "two"] * 4


def test_what_is_gone_is_forgotten_and_what_was_not_asked_for_is_kept(folder, read):
    hashes(folder)
    (folder / "mini" / "two").unlink()
    (folder / "mini" / "three").write_bytes(b"weights of three")
    time.sleep(0.01)
    with Stamps(folder) as remembered:
        remembered(folder / "mini" / "three")
    (file,) = (folder.parent / "cache" / "stamps").iterdir()
    assert b"mini/one" in file.read_bytes() and b"mini/two" not in file.read_bytes()
    hashes(folder)
    assert read == ["one", "two", "three"]


def test_what_has_just_been_read_is_not_read_again(folder, read):
    with Stamps(folder) as remembered:
        assert remembered(folder / "mini" / "one", just_read="abc") == "abc"
    assert hashes(folder)["one"] == "abc" and read == ["two"]
