"""Studies that tests begin, and what is held of one against another."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from salmu_core.testing import begin_study, end_study, study_content, typed, wait_for


def results(folder, seconds, value=1.0, rows=b"rows"):
    run = folder / "mini" / "run"
    run.mkdir(parents=True)
    metrics = {"Leak": {"value": value, "seconds": seconds}}
    (run / "metrics.json").write_text(json.dumps({"started": seconds, "status": "valid", "metrics": metrics}))
    (run / "rows.parquet").write_bytes(rows)
    (run / ".lock").write_text(str(seconds))
    return study_content(folder)


def test_two_makings_of_the_same_differ_in_times_and_hidden_files_alone(tmp_path):
    one = results(tmp_path / "one", 1.5)
    assert set(one) == {"mini/run/metrics.json", "mini/run/rows.parquet"}
    assert results(tmp_path / "two", 2.5) == one
    for name, other in (("value", {"value": 2.0}), ("rows", {"rows": b"others"})):
        found = results(tmp_path / name, 1.5, **other)
        assert len([path for path in one if found[path] != one[path]]) == 1


def test_a_study_begins_in_its_folder_and_ends_with_what_it_says(tmp_path):
    words = ("finetuning", "--benchmark", "./nowhere")
    said, code = end_study(begin_study(tmp_path, *words, SALMU_CACHE=str(tmp_path / "elsewhere")))
    assert code == 2 and "nowhere" in said and "Traceback" not in said, said
    assert not (tmp_path / "cache").exists()


def test_a_command_ends_as_in_a_shell_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "odd\x1b[2J").mkdir()
    before = sys.argv, Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), sys.stdout, sys.stderr
    done = typed(tmp_path, "run", "finetuning", "--benchmark", "./odd\x1b[2J", COLUMNS="300")
    assert done.returncode == 1 and "odd\\x1b[2J" in done.stderr and not done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    listed = typed(tmp_path, "benchmarks", "--json")
    assert listed.returncode == 0 and json.loads(listed.stdout)
    after = sys.argv, Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), sys.stdout, sys.stderr
    assert after == before


def test_what_never_comes_is_waited_for_no_longer_than_that():
    values = iter([None, "", "found"])
    assert wait_for(lambda: next(values)) == "found"
    with pytest.raises(AssertionError, match=r"after 0\.1 seconds"):
        wait_for(list, 0.1)
