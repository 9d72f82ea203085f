"""What is computed otherwise is another run, or it is said."""

import json

import pytest

from salmu_core.errors import UsageError
from salmu_core.judge.compare import compare
from salmu_core.judge.results import read_results
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import Store
from salmu_core.study.asked import Study, read_study
from salmu_core.study.plan import make_plan


def test_a_precision_makes_other_runs_and_threads_are_said(salmu, tiny):
    words = ("run", "finetuning", "--benchmark", tiny, "--budget", "1", "--set", "finetuning.batch_size=8")
    words += ("--processes", "1", "--json")
    assert salmu(*words).returncode == 0
    other = salmu(*words, "--mixed-precision", "bf16")
    assert other.returncode == 0, other.stderr
    runs = {path.parent.name: path for path in salmu.folder.rglob("run.json")}
    assert runs.keys() == {"b1-s0", "b1-s0-bf16"}
    records = {name: json.loads(path.read_text()) for name, path in runs.items()}
    assert [records[name]["environment"]["precision"] for name in sorted(runs)] == ["no", "bf16"]
    assert "--mixed-precision bf16" in records["b1-s0-bf16"]["command"] and "--mixed" not in records["b1-s0"]["command"]
    assert len({path.with_name("open_clip_model.safetensors").read_bytes() for path in runs.values()}) == 2

    again = salmu(*words, "--threads", "2", ACCELERATE_MIXED_PRECISION="bf16")
    assert again.returncode == 0 and "Nothing to do" in again.stderr
    assert "1 finished run was computed with 1 CPU threads and not 2" in again.stderr
    store = Store(salmu.folder / "runs")
    results = read_results(store, store.benchmarks())
    lines = compare(results, results.columns).lines
    assert len(results.rows) == len({line.label for line in lines}) == 2 and any("bf16" in line.label for line in lines)


@pytest.mark.parametrize(
    ("asked", "configured", "precision"),
    [
        ("bf16", "", "bf16"),
        ("no", "bf16", ""),
        (None, "bf16", "bf16"),
        (None, "no", ""),
        (None, None, ""),
    ],
)
def test_what_is_configured_counts_where_nothing_is_asked(asked, configured, precision, monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if configured is not None:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", configured)
    (planned,) = make_plan(Study(methods=("delete",), mixed_precision=asked), "mini", discover(), {})
    assert planned.key.precision == precision and str(planned.key.path).endswith(
        f"-{precision}" if precision else "-s0"
    )


def test_a_study_file_names_a_precision(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('mixed_precision = "bf16"\n')
    assert read_study(path).precision == "bf16"
    path.write_text('mixed_precision = "int4"\n')
    with pytest.raises(UsageError, match="mixed_precision"):
        read_study(path)
