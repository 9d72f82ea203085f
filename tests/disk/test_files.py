"""Whoever is killed while it commits, at whatever step: what a reader finds is the old one or the new one, whole."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from salmu_core.disk import files
from salmu_core.disk.files import new_folder, replacing, sweep, visible_files, write_text
from salmu_core.disk.owners import abandoned, aside, temporary_name
from salmu_core.errors import UsageError

STEPS = ("fsync", "rename", "replace", "unlink", "rmdir")


def fill(folder, text):
    (folder / "inner").mkdir()
    for name in ("one", "inner/two"):
        (folder / name).write_text(text)


def content(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


OLD, NEW = ({"one": text, "inner/two": text} for text in ("old", "new"))


def write_folder(final, text):
    with new_folder(final) as new:
        fill(new, text)


def killed_at(number, work, monkeypatch):
    """Whether a process that does some work ends before the step of this number, counted from 0."""
    pid = os.fork()
    if not pid:
        done = 0

        def dying(step):
            def call(*given, **more):
                nonlocal done
                if done == number:
                    os._exit(9)
                done += 1
                return step(*given, **more)

            return call

        for name in STEPS:
            monkeypatch.setattr(os, name, dying(getattr(os, name)))
        if files._libc_rename() is not None:
            exchange = dying(files._libc_rename())
            monkeypatch.setattr(files, "_libc_rename", lambda: exchange)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def without_exchange(monkeypatch):
    monkeypatch.setattr(files, "_libc_rename", lambda: None)


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_folder_is_whole_wherever_its_writer_is_killed(tmp_path, monkeypatch, exchanges, first):
    if not exchanges:
        without_exchange(monkeypatch)
    number, seen = 0, []
    while True:
        final = tmp_path / f"{number}" / "run"
        if not first:
            write_folder(final, "old")
        if not killed_at(number, lambda final=final: write_folder(final, "new"), monkeypatch):
            break
        number += 1
        if exchanges and not first:
            assert content(final) in (OLD, NEW)  # without anybody's help
        if final.parent.exists():
            sweep(final.parent)
            assert {path.name for path in final.parent.iterdir()} <= {"run"}
        seen.append(content(final) if final.exists() else None)
    assert content(final) == NEW
    assert set(map(str, seen)) == set(map(str, [None if first else OLD, NEW])) and len(seen) > 6


def test_a_file_is_whole_wherever_its_writer_is_killed(tmp_path, monkeypatch):
    number, path = 0, tmp_path / "record.json"
    write_text(path, "old")
    while killed_at(number, lambda: write_text(path, "new"), monkeypatch):
        assert path.read_text() in ("old", "new")
        number += 1
        sweep(tmp_path)
        assert [*tmp_path.iterdir()] == [path]
    assert number >= 3 and path.read_text() == "new"


def test_everything_is_synced_before_it_takes_its_place_and_the_folder_around_it_after(tmp_path, monkeypatch):
    steps = []

    def note(name):
        real = getattr(os, name)

        def call(first, *more, **rest):
            steps.append((name, str(Path(f"/proc/self/fd/{first}").readlink() if name == "fsync" else first)))
            return real(first, *more, **rest)

        monkeypatch.setattr(os, name, call)

    for name in ("fsync", "rename", "replace"):
        note(name)
    final = tmp_path / "a" / "run"
    write_folder(final, "new")
    (moved,) = [number for number, (name, _) in enumerate(steps) if name == "rename"]
    temporary = steps[moved][1]
    before, after = ({path for name, path in part if name == "fsync"} for part in (steps[:moved], steps[moved + 1 :]))
    everything = {temporary, *(f"{temporary}/{name}" for name in ("one", "inner", "inner/two"))}
    assert before == {str(tmp_path), *everything} and after == {str(final.parent)}  # the first has a new name in it
    steps.clear()
    write_text(tmp_path / "file", "new")
    assert [name for name, _ in steps] == ["fsync", "replace", "fsync"] and steps[2][1] == str(tmp_path)


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    final, path = tmp_path / "a" / "run", tmp_path / "a" / "file"
    for text in (None, "old"):
        if text:
            write_folder(final, text), write_text(path, text)
        with pytest.raises(RuntimeError), new_folder(final) as new, replacing(path) as temporary:
            (new / "one").write_text("half"), temporary.write_text("half")
            raise RuntimeError
        assert (content(final), path.read_text()) == (OLD, "old") if text else not [*final.parent.iterdir()]
    write_folder(final, "new")
    assert content(final) == NEW and {p.name for p in final.parent.iterdir()} == {"run", "file"}


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch, exchanges):
    final = tmp_path / "run"
    write_folder(final, "old")
    if not exchanges:
        without_exchange(monkeypatch)
    real = os.rename

    def refuses(source, target):
        if os.fspath(target) == str(final) and "-old" not in os.fspath(source):
            raise OSError(errno.EIO, "Input/output error", os.fspath(source))
        return real(source, target)

    monkeypatch.setattr(os, "rename", refuses)
    with pytest.raises(OSError, match=f"error: '{final}'"):
        write_folder(final, "new")
    assert content(final) == OLD and [*tmp_path.iterdir()] == [final]


def test_two_that_write_one_folder_at_once_both_end_and_one_of_them_stands(tmp_path, monkeypatch):
    """As where locks lie."""
    final = tmp_path / "run"
    for exchange in (True, False):
        if not exchange:
            without_exchange(monkeypatch)
        with new_folder(final) as one:
            fill(one, "old")
            write_folder(final, "new")
            assert one.is_dir()  # nobody's sweep has taken it
        assert content(final) == OLD and [*tmp_path.iterdir()] == [final]


def test_what_is_something_else_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is no file"), replacing(tmp_path / "pipe"):
        pass
    with pytest.raises(UsageError, match="is no folder"), new_folder(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("elsewhere")
    write_folder(tmp_path / "link", "new")
    assert content(tmp_path / "link") == NEW and content(tmp_path / "elsewhere") == {"mine": "mine"}


@pytest.mark.parametrize("umask", [0o077, 0o002, 0o022])
def test_rights_are_the_users_whatever_wrote_a_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "")
        with new_folder(tmp_path / "run") as new:
            fill(new, "new")
            (new / "one").chmod(0o600)  # as safetensors does
            (new / "tool").touch(mode=0o700)
            (new / "inner").chmod(0o700)
        with replacing(tmp_path / "weights") as temporary:
            temporary.unlink()
            temporary.touch(mode=0o600)
    finally:
        os.umask(before)
    rights = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
    executable, usual = 0o777 & ~umask, 0o666 & ~umask
    folders = {name: executable for name in ("run", "inner", "tool")}
    assert rights == {**dict.fromkeys(("file", "weights", "one", "two"), usual), **folders}


def test_errors_say_which_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    final, path = tmp_path / "run", tmp_path / "file"
    with pytest.raises(OSError, match=f"device: '{final}'$"), new_folder(final):
        full()
    with pytest.raises(OSError, match=f"file or directory: '{final}/none'$"), new_folder(final) as new:
        (new / "none").read_text()
    with pytest.raises(ConnectionError) as raised, new_folder(final):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert raised.value.filename is None  # not of a disk
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"device: '{path}'$"):
        write_text(path, "")
    with pytest.raises(OSError, match=f"device: '{final}/one'$"), new_folder(final) as new:
        (new / "one").touch()
    assert not [*tmp_path.iterdir()]


def test_only_what_dead_processes_left_is_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine, own = temporary_name(tmp_path / "run"), os.getpid()
    began = mine.name.split("-")[2]
    names = {
        f"-{dead.pid}-{began}-": False,
        f"-{own}-{began}-": True,
        f"-{own}-{int(began) - 1}-": False,  # the same number, given out again
        f"-{os.getppid()}-0-": True,  # nobody knows when it began
    }
    made = {mine.with_name(mine.name.replace(f"-{own}-{began}-", name)): stays for name, stays in names.items()}
    foreign = mine.with_name(".run.00000000-1-1-00000000")
    for path in (*made, foreign, tmp_path / ".git"):
        path.mkdir()
        (path / "file").touch()
    (tmp_path / "deeper").mkdir()
    old = aside(next(iter(made)))
    old.mkdir()
    sweep(tmp_path)
    assert {path: path.exists() for path in made} == made and (tmp_path / ".git" / "file").exists()
    assert (tmp_path / "run").is_dir() and not old.exists()  # what had been moved aside
    os.utime(foreign, (0, 0))
    assert foreign.exists() and not abandoned(foreign)  # a file in it is young
    for path in (foreign / "file", foreign):
        os.utime(path, (0, 0))
    left = tmp_path / "deeper" / foreign.name
    foreign.rename(left)
    sweep(tmp_path)
    assert left.exists()
    os.utime(left, (0, 0))
    sweep(tmp_path, below=True)
    assert not left.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says so in /proc")
def test_what_a_dead_process_leaves_is_swept_even_where_nobody_has_buried_it(tmp_path):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, str(temporary_name(tmp_path / "results")).encode())
        os._exit(0)
    path = Path(os.read(ours, 1000).decode())
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    path.write_text("half")
    assert abandoned(path)
    os.waitpid(pid, 0)
    os.close(ours)
    os.close(theirs)


def test_what_goes_while_a_folder_is_looked_through_is_not_there(tmp_path, monkeypatch):
    for name in ("a/one", "going/two", "b/deeper/three", ".hidden/four", "a/.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    looked_at, scandir = [], os.scandir

    def scan(path):
        looked_at.append(Path(str(path)).name)  # or a number: so rmtree looks
        if looked_at[-1] == "going":
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert [file.relative_to(tmp_path).as_posix() for file in visible_files(tmp_path)] == ["a/one", "b/deeper/three"]
    assert "going" in looked_at and ".hidden" not in looked_at
