"""A benchmark without a zero-shot set: nothing is wrong, and nothing is said of what was not measured."""

import json
import shutil

from stores import rewrite

RUN = ("run", "negative-gradient", "--benchmark", "./tiny", "--budget", "1", "--set", "negative-gradient.batch_size=4")


def test_a_missing_zero_shot_set_is_no_error_and_may_come_later(salmu, tiny):
    here = shutil.copytree(tiny, salmu.folder / "tiny")
    (here / "zeroshot").rename(salmu.folder / "elsewhere")
    done = salmu(*RUN, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (row,), (line,) = found["runs"], found["lines"]
    assert row["metric_errors"] == {} and "zero-shot" in row["not_measured"]["GenKnow"]
    assert "GenKnow" not in line["figures"] and len(row["metrics"]) >= 10
    assert "catastrophic" not in (line["failure_modes"] or {}) and "knowledge" not in line["places"]
    assert line["places"]["leak"] == [1, 1]
    assert any(note.startswith("GenKnow is not measured") for note in found["notes"])
    shown = salmu("results")
    assert shown.returncode == 0 and "not\n" not in shown.stdout and "measured" in shown.stdout
    weights = next(salmu.folder.glob("runs/*/*/*/*/open_clip_model.safetensors"))
    made = weights.stat().st_mtime_ns
    evaluated = salmu("evaluate", str(weights.parent), "--benchmark", "./tiny")
    assert evaluated.returncode == 0 and "GenKnow" in evaluated.stdout, evaluated.stderr

    (salmu.folder / "elsewhere").rename(here / "zeroshot")
    again = json.loads(salmu(*RUN, "--json").stdout)
    assert weights.stat().st_mtime_ns == made  # only scored again
    (row,) = again["runs"]
    assert row["not_measured"] == {} and 0 <= row["metrics"]["GenKnow"] <= 1
    assert set(again["references"]["clean"]) == set(row["metrics"])


def test_a_zero_shot_set_that_is_named_must_be_there(salmu, tiny):
    here = shutil.copytree(tiny, salmu.folder / "tiny")
    (here / "benchmark.toml").write_text('zeroshot = "elsewhere"\n')
    done = salmu(*RUN)
    assert done.returncode == 1 and "elsewhere" in done.stderr and "take the line out" in done.stderr


def test_figures_of_another_zero_shot_set_are_not_compared(salmu, tiny):
    here = shutil.copytree(tiny, salmu.folder / "tiny")
    assert salmu(*RUN).returncode == 0
    (metrics,) = salmu.folder.glob("runs/*/negative-gradient/*/*/metrics.json")
    record = json.loads(metrics.read_text())
    rewrite(metrics, zeroshot_hash="0" * 64)
    (row,) = json.loads(salmu("results", "--json").stdout)["runs"]
    assert row["status"] == "not scored" and "zero-shot" in row["reason"]
    assert salmu(*RUN).returncode == 0
    assert json.loads(metrics.read_text())["zeroshot_hash"] == record["zeroshot_hash"] and here.exists()
