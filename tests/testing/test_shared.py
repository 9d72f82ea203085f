"""What `salmu doctor --output` says of a results folder, on file systems and clocks that are broken on purpose."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from salmu_core.testing import shared as module
from salmu_core.testing.shared import shared

SUBJECTS = ["locks", "renames", "clocks", "shared cache", "cards"]


def findings(folder):
    return {finding.subject: finding for finding in shared(folder)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))


def test_a_sound_folder_is_sound_and_nothing_stays_of_the_look(tmp_path):
    found = findings(tmp_path / "new" / "runs")
    assert list(found) == SUBJECTS and all(each.sound and not each.advice for each in found.values())
    assert not (tmp_path / "new" / "runs").exists()
    (tmp_path / "runs").mkdir()
    assert list(findings(tmp_path / "runs")) == SUBJECTS and not [*(tmp_path / "runs").iterdir()]


def test_a_lock_that_everybody_gets_is_told_and_breaks_nothing(tmp_path, monkeypatch):
    @contextmanager
    def always(path, wait=True):
        yield True

    monkeypatch.setattr(module, "held", always)
    lock = findings(tmp_path)["locks"]
    assert lock.sound and lock.advice and "hold one at the same time" in lock.text and "flock" in lock.text


def test_a_lock_that_nobody_gets_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_HOLD", "print(False)")
    lock = findings(tmp_path)["locks"]
    assert lock.advice and "no lock can be had" in lock.text


def in_two_steps(self, target):
    target = Path(target)
    target.write_bytes(b"half")
    time.sleep(0.002)
    target.write_bytes(self.read_bytes())
    self.unlink()
    return target


def with_a_gap(self, target):
    Path(target).unlink(missing_ok=True)
    time.sleep(0.002)
    return self.rename(target)


@pytest.mark.parametrize(("replace", "said"), [(in_two_steps, "half written"), (with_a_gap, "could not be read")])
def test_a_rename_that_is_not_one_step_is_off(tmp_path, monkeypatch, replace, said):
    monkeypatch.setattr(Path, "replace", replace)
    renames = findings(tmp_path)["renames"]
    assert not renames.sound and said in renames.text and "choose another --output" in renames.text


@pytest.mark.parametrize(("ahead", "sound"), [(3600, False), (-3600, True), (0, True)])
def test_a_clock_that_is_off_is_told_and_one_that_hides_changes_is_off(tmp_path, monkeypatch, ahead, sound):
    now = time.time
    monkeypatch.setattr(module.time, "time", lambda: now() + ahead)
    clocks = findings(tmp_path)["clocks"]
    assert clocks.sound is sound and clocks.advice is (ahead < 0)
    assert f"{-ahead:+.1f} s" in clocks.text if ahead else "NTP" not in clocks.text


def test_a_folder_that_can_not_be_written_is_the_only_finding(tmp_path):
    (tmp_path / "file").touch()
    (finding,) = shared(tmp_path / "file" / "runs")
    assert not finding.sound and "can't be written" in finding.text


def test_a_cache_on_another_disk_is_told_with_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", "/dev/shm/salmu-no-such-cache")
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    cache = findings(tmp_path / "runs")["shared cache"]
    assert cache.sound and cache.advice and f"export SALMU_CACHE={tmp_path / 'salmu-cache'}" in cache.text
    assert not Path("/dev/shm/salmu-no-such-cache").exists()


LOOK = """
import sys
from pathlib import Path
from salmu_core.testing.shared import shared
for finding in shared(Path(sys.argv[1])):
    print(finding.subject, finding.sound, finding.advice, finding.text, sep="|")
"""


def test_processes_of_a_launcher_look_together_and_each_says_the_same(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    ranks = []
    for rank in "01":
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SALMU_CACHE": str(tmp_path / f"cache-{rank}")}
        words = [sys.executable, "-c", LOOK, str(tmp_path / "runs")]
        ranks.append(subprocess.Popen(words, env={**os.environ, **place}, stdout=subprocess.PIPE, text=True))
    texts = [rank.communicate(timeout=200)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0] and texts[0].splitlines()[0] == texts[1].splitlines()[0]
    for text in texts:
        found = {line.split("|")[0]: line for line in text.splitlines()}
        assert "of 2 processes on 1 machines one holds it" in found["locks"] and "s apart" in found["clocks"]
        assert "True|True" in found["shared cache"] and "not the cache of all processes" in found["shared cache"]
        assert "cards of process 1" in found
    assert [path.name for path in tmp_path.iterdir()] == ["cache-0"], "nothing else stays"
