"""What the doctor finds where results are to lie."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from time import sleep as pause

import pytest

from salmu_core.testing import shared as looking
from salmu_core.testing.shared import shared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="locks as Linux has them")


def found(folder):
    return {finding.subject: finding for finding in shared(folder)}


def test_a_disk_as_it_should_be_is_well_and_nothing_stays_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    well = found(tmp_path / "new" / "runs")
    assert [*well] == ["locks", "renames", "clocks", "shared cache", "cards"]
    assert all(finding.sound for finding in well.values())
    assert not any(well[name].advice for name in ("locks", "renames", "clocks", "shared cache"))
    assert "CUDA_VISIBLE_DEVICES is '7'" in well["cards"].text
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


def test_locks_that_hold_nobody_are_told_and_break_no_result(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # here; the other process really holds its own
    locks = found(tmp_path)["locks"]
    assert locks.sound and locks.advice and "at the same time" in locks.text and "flock" in locks.text


def test_what_breaks_results_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(looking.time, "time", lambda: tmp_path.stat().st_mtime + 3600)
    clocks = found(tmp_path)["clocks"]
    assert not clocks.sound and "-3" in clocks.text and "NTP" in clocks.text
    monkeypatch.setattr(looking.time, "time", lambda: tmp_path.stat().st_mtime - 3600)
    clocks = found(tmp_path)["clocks"]
    assert clocks.sound and clocks.advice
    (tmp_path / "file").touch()
    assert not found(tmp_path / "file" / "runs")["results"].sound


def test_a_file_that_is_gone_for_a_moment_is_found_out(tmp_path, monkeypatch):
    whole = looking.Path.replace

    def replace(path, target):
        target.unlink()
        pause(0.001)  # which any other disk may take
        whole(path, target)

    monkeypatch.setattr(looking.Path, "replace", replace)
    renames = found(tmp_path)["renames"]
    assert not renames.sound and "could not be read" in renames.text


def test_a_cache_on_another_disk_is_told_with_what_to_set(tmp_path, monkeypatch):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk only")
    monkeypatch.setenv("SALMU_CACHE", "/dev/shm/salmu-none")
    cache = found(tmp_path / "runs")["shared cache"]
    assert cache.sound and cache.advice and f"SALMU_CACHE={tmp_path / 'salmu-cache'}" in cache.text


LOOK = """
import json, sys
from pathlib import Path
from salmu_core.testing.shared import shared
print(json.dumps([[f.subject, f.sound, f.advice, f.text] for f in shared(Path(sys.argv[1]))]))
"""


def test_processes_of_a_launcher_look_together(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    ranks = []
    for rank in "01":
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SALMU_CACHE": str(tmp_path / f"cache-{rank}")}
        words = [sys.executable, "-c", LOOK, str(tmp_path / "runs")]
        ranks.append(subprocess.Popen(words, env={**os.environ, **place}, stdout=subprocess.PIPE, text=True))
    texts = [rank.communicate(timeout=200)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    for text in texts:
        assert "of 2 processes on 1 machines one holds it" in text and "cards of process 1" in text
        assert "apart" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache-0"]
