"""What goes wrong in a study is a row or a sentence, and what can go on does."""

import json
import shutil

import pytest
from sources import method

from salmu_core.store.folders import Store

FINETUNING = ("finetuning", "--set", "finetuning.batch_size=8")


def test_bad_runs_are_rows_with_reasons_and_the_others_go_on(salmu, tiny, install):
    install("does-nothing", method("does-nothing", "pass"))
    install("raises", method("raises", "raise RuntimeError('[bold]inside[/]')"))
    install("exits", method("exits", "import os, sys; sys.exit(0)"))
    install("not-a-number", method("not-a-number", "with ctx.edit() as w: w['visual.proj'].fill_(float('nan'))"))
    install("greedy", method("greedy", "while True: list(ctx.batches('forget', 8))"))
    names = ("does-nothing", "raises", "exits", "not-a-number", "greedy")
    done = salmu("run", *names, *FINETUNING, "--benchmark", tiny, "--processes", "1", "--json")
    assert done.returncode == 1
    rows = {row["method"]: row for row in json.loads(done.stdout)["runs"]}
    status = {name: rows[name]["status"] for name in names}
    assert status == dict(zip(names, ("unchanged", "crashed", "crashed", "non-finite", "over-budget"), strict=True))
    assert rows["finetuning"]["status"] == "valid" and rows["finetuning"]["metrics"]
    for name in names:
        assert rows[name]["reason"] and not rows[name]["metrics"] and rows[name]["checkpoint"] is None
    trace = salmu.folder / rows["raises"]["folder"] / "traceback.txt"
    assert "RuntimeError: [bold]inside[/]" in trace.read_text()
    first, whole = (salmu("results", *full).stdout for full in ((), ("--full",)))
    assert "crashed at budget 5: RuntimeError: [bold]inside[/]" in first
    assert "not ranked" in whole and "[bold]inside[/]" in whole


def test_an_invalid_run_is_made_again_once_its_code_changes(salmu, tiny, install, site):
    install("mine", method("mine", "pass"))
    assert salmu("run", "mine", "--benchmark", tiny).returncode == 1
    again = salmu("run", "mine", "--benchmark", tiny)
    assert "Nothing to do" in again.stdout and again.returncode == 1
    fixed = method("mine", "with ctx.edit() as w: w['visual.proj'].mul_(2)")
    (site / "test_plugin_mine.py").write_text(fixed)
    assert salmu("run", "mine", "--benchmark", tiny).returncode == 0
    (site / "test_plugin_mine.py").write_text(fixed + "# again\n")
    kept = salmu("run", "mine", "--benchmark", tiny)
    assert "Nothing to do" in kept.stdout and "--redo" in kept.stdout
    assert "Nothing to do" not in salmu("run", "mine", "--benchmark", tiny, "--redo").stdout


def test_a_broken_plugin_is_left_out_of_all_and_shows_in_the_exit_code(salmu, tiny, install):
    install("broken", "import no_such_module")
    listed = salmu("plugins")
    assert listed.returncode == 0 and "no_such_module" in listed.stdout
    done = salmu("run", "finetuning", "--benchmark", tiny)
    assert done.returncode == 0 and "no_such_module" in done.stdout
    assert "broken" in salmu("methods").stderr


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "run.json", "metrics.json", "per_row.parquet"])
def test_a_damaged_run_is_named_and_mended(salmu, finished, file):
    folder, command = finished
    content = (folder / "open_clip_model.safetensors").read_bytes()
    (folder / file).write_bytes((folder / file).read_bytes()[:-20])
    shown = json.loads(salmu("results", "--json").stdout)["runs"]
    assert [row["status"] for row in shown] == ["damaged"] and file in shown[0]["reason"]
    again = salmu(*command)
    assert again.returncode == 0 and file in again.stdout and "again" in again.stdout
    assert (folder / "open_clip_model.safetensors").read_bytes() == content
    assert "Nothing to do" in salmu(*command).stdout


def test_results_of_other_data_are_refused(salmu, tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / "benchmark.toml").write_text('name = "mine"\n')
    command = ("run", *FINETUNING, "--benchmark", copy)
    assert salmu(*command).returncode == 0
    facts = copy / "fragile_set_ids.json"
    facts.write_text(facts.read_text() + " ")
    done = salmu(*command)
    assert done.returncode == 1 and "other data" in done.stderr
    other = salmu("run", "negative-gradient", *command[-2:], "--set", "negative-gradient.batch_size=8", "--json")
    assert other.returncode == 0 and "Clean: scored" in other.stderr  # the references are of these data again


def test_a_run_that_somebody_else_holds_is_a_row(salmu, finished):
    folder, command = finished
    shutil.rmtree(folder)
    with Store(salmu.folder / "runs").claim(folder):
        done = salmu(*command)
    assert done.returncode == 1 and "unfinished" in done.stdout
    assert salmu(*command).returncode == 0


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(9)", "its process ended with exit code 9"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "its process was ended by SIGKILL"),
    ],
)
def test_a_run_whose_process_dies_once_is_made_by_another_one(salmu, tiny, install, end, said):
    body = "import os, signal\nfrom pathlib import Path\nonce = Path(os.environ['TMPDIR']).parent / 'saves' / 'once'\n"
    body += f"if not once.exists(): once.touch(); {end}\n"
    install("zz-dies", method("zz-dies", body + "with ctx.edit() as w: w['visual.proj'].mul_(2)"))
    done = salmu("run", "finetuning", "zz-dies", "--benchmark", tiny, "--processes", "2", "--json")
    assert done.returncode == 0 and said in done.stderr and "it is tried again" in done.stderr
    assert [row["status"] for row in json.loads(done.stdout)["runs"]] == ["valid", "valid"]


def test_what_ends_its_process_three_times_is_a_row_and_the_study_goes_on(salmu, tiny, install):
    install("zz-dies", method("zz-dies", "import os; os._exit(9)"))
    done = salmu("run", "finetuning", "zz-dies", "--benchmark", tiny, "--processes", "2", "--json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    rows = {row["method"]: row["status"] for row in json.loads(done.stdout)["runs"]}
    assert rows == {"finetuning": "valid", "zz-dies": "died"}
    again = salmu("run", "zz-dies", "--benchmark", tiny, "--redo")
    assert "its process ended with exit code 9: it left no result; it is tried again" in again.stdout
    assert "its process 3 times ended with exit code 9" in again.stdout


def test_a_metric_that_fails_is_an_error_and_the_others_stand(salmu, tiny, install):
    install(
        "bad-metric",
        "from salmu_core import MetricResult, MetricSpec, hookimpl\n"
        "def compute(ctx): return MetricResult(float('nan'))\n"
        "def nosy(ctx): return MetricResult(float(ctx.images('holdout_identity').mean()))\n"
        "FACTS = dict(summary='A test.', pillar='utility', target='clean', reads=('forget',), paper='https://e.org')\n"
        "@hookimpl\n"
        "def salmu_metrics():\n"
        "    return [MetricSpec(name=n, compute=f, **FACTS) for n, f in (('Bad', compute), ('Nosy', nosy))]\n",
    )
    done = salmu("run", "finetuning", "--benchmark", tiny, "--json")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)["runs"]
    assert "nan" in row["metric_errors"]["Bad"] and "without declaring it" in row["metric_errors"]["Nosy"]
    assert row["metrics"]["AssocStr"] is not None and "Bad" not in row["metrics"]
