"""What is published, certified or compared by itself is read whole; a table reads again what may have changed."""

import os
import re
import time

import numpy as np
import pytest
from stores import around, leak, write_reference, write_run

from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk import cache, stamps
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import StoreError
from salmu_core.judge.results import read_results
from salmu_core.judge.single import read_one_run, read_scored
from salmu_core.store.folders import Store

ROWS = {"AssocStr": around(0.2), **leak(np.arange(1, 81))}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run among others, with a cache of its own."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 0)
    root = tmp_path / "runs"
    for role in ("clean", "compromised"):
        write_reference(root, role, ROWS)
    write_run(root, "other", ROWS)
    made = write_run(root, "one", ROWS)
    time.sleep(0.01)
    return made


def statuses(run):
    return {row.method: row.status for row in read_results(Store(run.parents[3]), ["mini"]).rows}


def test_tables_trust_a_stamp_and_single_runs_do_not(run, tmp_path):
    assert statuses(run) == {"one": "valid", "other": "valid"}
    folder = run.parents[3].stat().st_ino
    known = cache.recall("stamps", folder).decode()
    cache.remember("stamps", folder, re.sub(r'"[0-9a-f]{64}"', f'"{"0" * 64}"', known).encode())
    assert statuses(run) == {"one": "damaged", "other": "damaged"}
    assert read_one_run(run, "certified").record.method == "one"
    assert read_scored(run).record.method == "one"


def test_a_flipped_byte_of_a_checkpoint_is_found_by_all(run):
    assert statuses(run) == {"one": "valid", "other": "valid"}
    stat = (run / WEIGHTS).stat()
    content = (run / WEIGHTS).read_bytes()
    (run / WEIGHTS).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(run / WEIGHTS, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert statuses(run) == {"one": "damaged", "other": "valid"}
    with pytest.raises(StoreError, match=r"can't be certified: .* is damaged"):
        read_one_run(run, "certified")
    with pytest.raises(StoreError, match="is damaged"):
        read_scored(run)


def test_of_other_runs_nothing_is_read(run, monkeypatch):
    opened = []
    (run.parents[2] / "other").rename(run.parents[2] / "another")
    monkeypatch.setattr("salmu_core.disk.hashing.hash_file", lambda path: opened.append(path) or hash_file(path))
    one = read_one_run(run, "published")
    assert opened.count(run / WEIGHTS) == 1 and not [path for path in opened if "another" in path.parts]
    assert [row.method for row in one.results.rows] == ["one"] and one.line.method == "one"
