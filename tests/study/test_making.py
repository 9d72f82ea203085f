"""A run's process, as whoever started it leaves it: what is noted of it, and what lies in its scratch folder."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import pytest
from torch import nn

from salmu_core.disk.files import demolish
from salmu_core.errors import MachineError
from salmu_core.run.outcome import Outcome
from salmu_core.run.reporter import Reporter
from salmu_core.store.attempts import DEATHS, UNKNOWN, Attempts
from salmu_core.store.records import Ledger
from salmu_core.study.apart import Cell
from salmu_core.study.limits import UNLIMITED, Limits
from salmu_core.study.making import Making
from salmu_core.study.member import forks

pytestmark = pytest.mark.skipif(not forks("cpu"), reason="needs a fork")


class Told(Reporter):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def making(tmp_path):
    """Begin to make a run whose method does something."""
    cell = Cell(tmp_path / "work" / "scratch", (tmp_path / "hidden",), (), "x")

    def begin(act, limits=UNLIMITED):
        def make(observer, kept):
            return act(cell.scratch)

        return Making(
            lambda: make, cell, limits, "fork", Attempts(tmp_path / "attempts", "x", tmp_path / "work" / "scratch")
        )

    return begin


def linger(scratch):
    (scratch / "saves" / "one").touch()
    (scratch / "tmp" / "one").touch()
    (scratch / "tmp" / "begun").write_text(str(os.getpid()))
    time.sleep(600)


def begun(path):
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


def test_what_stops_a_run_or_its_record_says_nothing_of_its_method(making, tmp_path):
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()) * UNKNOWN:
        with pytest.raises(type(error)), making(linger):
            number = begun(tmp_path / "work" / "scratch" / "tmp" / "begun")
            raise error
        assert not psutil.pid_exists(number)
        (kept,) = (tmp_path / "work").iterdir()
        assert kept.name != "scratch" and [path.name for path in kept.rglob("*")] == ["saves", "one"]
    known = Attempts(tmp_path / "attempts", "x", tmp_path / "work" / "scratch")
    assert not known.verdict() and not known.fresh


def test_what_can_not_be_started_says_nothing_either(making, tmp_path, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    for _ in range(UNKNOWN):
        with pytest.raises(BlockingIOError):
            making(linger)
    assert not Attempts(tmp_path / "attempts", "x", tmp_path / "work" / "scratch").verdict()


def test_an_error_after_the_verdict_takes_no_death_back(making, tmp_path):
    known = Attempts(tmp_path / "attempts", "x", tmp_path / "work" / "scratch")
    for _ in range(DEATHS):
        known.begin()
        known.died("ended")
    with pytest.raises(OSError, match="full"), making(linger) as made:
        assert made.outcome(nn.Linear(1, 1), "x", Reporter(), print).status == "died"
        raise OSError("full")
    assert Attempts(tmp_path / "attempts", "x", tmp_path / "work" / "scratch").verdict() == known.verdict() != ""


def test_a_run_that_has_had_its_time_gets_it_again_from_the_beginning_alone(making, tmp_path):
    def look(scratch):
        print("saved:", sorted(path.name for path in (scratch / "saves").iterdir()))
        linger(scratch)

    told = Told()
    with making(look, Limits(seconds=1)) as made:
        outcome = made.outcome(nn.Linear(1, 1), "x", told, print)
    assert outcome.status == "died" and "its process twice took longer than the 1 s" in outcome.reason
    assert [text for text in told.said if "saved" in text] == ["saved: []"] * 2
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def small(tmp_path):
    """A disk of two megabytes, where a run may write."""
    (tmp_path / "work").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", str(tmp_path / "work")]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield
    subprocess.run(["umount", "--lazy", str(tmp_path / "work")], check=True)


@pytest.mark.parametrize("result", [False, True])
def test_a_disk_that_a_run_has_filled_is_no_verdict_and_is_empty_afterwards(making, small, tmp_path, result):
    def fill(scratch):
        with (scratch / "tmp" / "big").open("wb") as file, suppress(OSError) if result else nullcontext():
            while True:
                file.write(bytes(1 << 16))
        return Outcome(nn.Linear(100, 100), "valid", "", Ledger(), (), {})

    with pytest.raises(MachineError, match="No space left"), making(fill) as made:
        made.outcome(nn.Linear(100, 100), "x", Reporter(), print)
    assert not Attempts(tmp_path / "attempts", "x", tmp_path / "work" / "scratch").verdict()
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]


def test_of_what_a_run_prints_so_much_is_shown_and_no_more(making):
    told = Told()
    with making(lambda scratch: print("x" * 99 + "\n" + ("y" * 99 + "\n") * 100_000)) as made:
        made.outcome(nn.Linear(1, 1), "x", told, print)
    assert told.said.count("y" * 99) < DEATHS * 10_486 and sum("is not shown" in text for text in told.said) == DEATHS


def test_nothing_withstands_demolition():
    home = Path(tempfile.mkdtemp())  # others must be able to enter what lies around it
    if child := os.fork():
        status = os.waitpid(child, 0)[1]
        shutil.rmtree(home)
        assert status == 0
        return
    code = 1
    try:
        home.chmod(0o777)
        os.chdir(home)
        if os.geteuid() == 0:  # nothing is forbidden to root
            os.seteuid(65534)
        outside, top = Path("outside"), Path("top")
        outside.mkdir(0o500)
        Path(top, "a", "b").mkdir(parents=True)
        (top / "a" / "file").touch()
        (top / "a" / "link").symlink_to(outside.absolute())
        os.mkfifo(top / "a" / "b" / "pipe")
        for path in (top / "a" / "b", top / "a", top):
            path.chmod(0)
        demolish(top)
        code = int(top.exists() or outside.stat().st_mode & 0o777 != 0o500)
    finally:
        os._exit(code)
