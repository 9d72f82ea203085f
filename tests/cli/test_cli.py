"""The whole line, as people use it: each test is a `salmu` of its own."""

import json
import shutil
import sys

import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sources import method

from salmu_core.store.folders import Store

RUN = ("negative-gradient", "finetuning", "--set", "negative-gradient.batch_size=8", "--set", "finetuning.batch_size=8")


def runs(folder):
    return sorted(p.parent for p in folder.rglob("run.json"))


def test_run_writes_what_it_says_and_a_second_run_does_nothing(salmu, tiny):
    first = salmu("run", *RUN, "--benchmark", tiny, "--budget", "1", "--budget", "2", "--processes", "1", "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert {"schema", "benchmark", "worlds", "references", "lines", "runs", "notes"} <= set(found)
    assert len(found["runs"]) == len(found["lines"]) == 4
    assert set(found["references"]) == {"clean", "compromised"}
    folders = runs(salmu.folder / "runs")
    assert len(folders) == 4
    for row in found["runs"]:
        assert row["status"] == "valid" and set(row["metrics"]) == set(found["references"]["clean"])
        assert row["ledger"]["forget_samples"] <= row["budget"] * 16
        folder = salmu.folder / row["checkpoint"]
        assert {p.name for p in folder.iterdir()} == {
            "open_clip_model.safetensors",
            "open_clip_config.json",
            "salmu_canary.json",
            "run.json",
            "metrics.json",
            "per_row.parquet",
            "retrieved.parquet",
        }
        rows = pq.read_table(folder / "per_row.parquet").to_pylist()
        for column in ("AssocStr", "RetFail_MRR", "GenKnow"):
            values = [r["value"] for r in rows if r["column"] == column]
            assert sum(values) / len(values) == pytest.approx(row["metrics"][column], abs=1e-12)

    stamps = {p: p.stat().st_mtime_ns for p in (salmu.folder / "runs").rglob("*") if p.is_file()}
    second = salmu("run", *RUN, "--benchmark", tiny, "--budget", "1", "--budget", "2")
    assert second.returncode == 0 and "Nothing to do" in second.stdout
    assert {p: p.stat().st_mtime_ns for p in (salmu.folder / "runs").rglob("*") if p.is_file()} == stamps
    assert json.loads(salmu("results", "--json").stdout) == found


def test_attacks_are_made_on_every_result_and_kept(salmu, tiny):
    words = ["run", *RUN, "--benchmark", tiny, "--processes", "1"]
    words += ["--attack", "bare-value,linear-readout", "--attack", "relearn-retain"]
    words += ["--set", "relearn-retain.steps=2", "--set", "relearn-retain.batch_size=4"]
    first = salmu(*words, "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    for row in found["runs"]:
        made = {attack["attack"]: attack for attack in row["attacks"]}
        assert list(made) == ["bare-value", "linear-readout", "relearn-retain"]
        assert all(attack["status"] == "valid" for attack in made.values()), made
        assert made["relearn-retain"]["ledger"]["retain_samples"] == 8
        assert made["linear-readout"]["details"] == {"fitted_on": made["linear-readout"]["leaked"]["rows"]}
    assert {attack["attack"] for line in found["lines"] for attack in line["attacks"]} == set(made)
    second = salmu(*words)
    assert second.returncode == 0 and "Nothing to do" in second.stdout


def test_open_clip_loads_a_run_and_gives_our_embeddings(salmu, tiny):
    assert salmu("run", *RUN, "--benchmark", tiny, "--processes", "1").returncode == 0
    (folder, *_) = runs(salmu.folder / "runs")
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tensors = load_file(folder / "open_clip_model.safetensors")
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())
    done = salmu("evaluate", folder, "--benchmark", tiny, "--json")
    found = json.loads(done.stdout)
    scored = found["metrics"]
    lines = json.loads(salmu("results", "--json").stdout)["lines"]
    line = next(line for line in lines if line["method"] == folder.parts[-3])
    assert found["figures"]["AssocStr"]["low"] == line["figures"]["AssocStr"]["low"] < scored["AssocStr"]
    recorded = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert scored == {column: value for entry in recorded.values() for column, value in entry["values"].items()}


def test_the_record_says_what_was_done(salmu, tiny):
    salmu("run", "finetuning", "--benchmark", tiny, "--set", "finetuning.lr=0.01", "--seed", "3")
    (folder,) = runs(salmu.folder / "runs")
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["lr"] == 0.01 and record["seed"] == 3 and record["status"] == "valid"
    assert "--set finetuning.lr=0.01" in record["command"] and "--seed 3" in record["command"]
    assert record["plugin"]["distribution"] == "salmu-finetuning" and len(record["plugin"]["code_hash"]) == 64
    assert record["environment"]["torch"] == torch.__version__.partition("+")[0]
    assert folder.parent.name == record["config_hash"][:12]
    values = [value for _, value in record["scalars"]["loss"]]
    assert len(values) == record["ledger"]["steps"] > 0
    (fit,) = record["fits"]
    assert fit == {"first_step": 0, "batch_size": 16, "settings": record["config"]}


def test_micro_batches_are_no_setting_and_stand_in_the_record(salmu, tiny):
    salmu("run", "finetuning", "--benchmark", tiny, "--micro-batch", "3")
    (folder,) = runs(salmu.folder / "runs")
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "valid" and record["environment"]["micro-batch"] == "3"
    assert record["ledger"]["forward_images"] == 2 * record["ledger"]["retain_samples"]
    again = salmu("run", "finetuning", "--benchmark", tiny)
    assert "Nothing to do" in again.stdout + again.stderr


def test_towers_that_cant_be_compiled_stand_in_the_record(salmu, tiny):
    words = ("run", "finetuning", "--benchmark", tiny, "--compile", "on", "--processes", "1", "--output")
    none = {"CXX": "/bin/false", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = salmu(*words, "failed", fresh=True, **none)
    assert (done.stdout + done.stderr).count("torch.compile is given up") == 1
    (record,) = [json.loads((folder / "run.json").read_text()) for folder in runs(salmu.folder / "failed")]
    assert record["status"] == "valid" and record["environment"]["compiled"] == "inductor, given up"


def test_a_precision_that_is_not_there_is_said_before_anything_is_opened(salmu, tiny):
    words = ("run", "finetuning", "--benchmark", tiny, "--mixed-precision", "fp16")
    done = salmu(*words, fresh=True, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2 and "fp16 needs an accelerator" in done.stderr and "Traceback" not in done.stderr
    assert not list(salmu.folder.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "clip-erase"], "'cliperase'"),
        (["run", "cliperase", "--set", "cliperase.learning_rate=1"], "no setting of cliperase 'learning_rate'"),
        (["run", "cliperase", "--set", "cliperase.lr=-1"], "greater than 0"),
        (["run", "cliperase", "--set", "lr=1"], "METHOD.FIELD=VALUE"),
        (["run", "cliperase", "--benchmark", "mni"], "'mini'"),
        (["run", "cliperase", "--benchmark", "./absent"], "no folder"),
        (["run", "cliperase", "--budget", "0"], "above 0"),
        (["run", "cliperase", "--seed", "2-0"], "0-4"),
        (["run", "cliperase", "--all"], "not both"),
        (["run", "cliperase", "--attack", "bare-values"], "'bare-value'"),
        (
            ["run", "cliperase", "--attack", "linear-readout", "--set", "linear-readout.regularisation=0"],
            "greater than 0",
        ),
        (["run", "cliperase", "--compile", "maybe"], "auto, on, off"),
        (["run"], "--all"),
        (["run", "cliperase", "--from", "absent"], "Clean, and models of which nobody can tell that, are refused"),
        (["run", "cliperase", "--requests", "0"], "--requests"),
        (["run", "--config", "absent.toml"], "is missing"),
        (["metrics", "ACT"], "'ACS'"),
        (["methods", "delet"], "'delete'"),
        (["attacks", "linear"], "'linear-readout'"),
        (["benchmarks", "maxi"], "'mini'"),
        (["results"], "no results"),
        (["evaluate", "absent"], "no open_clip model folder"),
        (["run", "--budgte", "1"], "--budget"),
    ],
)
def test_mistakes_get_a_sentence_and_exit_code_2_and_write_nothing(salmu, words, message):
    done = salmu(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not list(salmu.folder.iterdir())


def test_an_output_that_cannot_be_written_is_a_sentence(salmu, tiny):
    (salmu.folder / "file").write_text("in the way")
    done = salmu("run", "finetuning", "--benchmark", tiny, "--output", "file")
    assert done.returncode == 1 and "file" in done.stderr and "Traceback" not in done.stderr


def test_bad_runs_are_rows_with_reasons_and_the_others_go_on(salmu, tiny, install):
    install("does-nothing", method("does-nothing", "pass"))
    install("raises", method("raises", "raise RuntimeError('[bold]inside[/]')"))
    install("exits", method("exits", "import os, sys; sys.exit(0)"))
    install("not-a-number", method("not-a-number", "with ctx.edit() as w: w['visual.proj'].fill_(float('nan'))"))
    install("greedy", method("greedy", "while True: list(ctx.batches('forget', 8))"))
    names = ("does-nothing", "raises", "exits", "not-a-number", "greedy")
    done = salmu("run", *names, *RUN, "--benchmark", tiny, "--processes", "1", "--json")
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
def test_a_damaged_run_is_named_and_mended(salmu, tiny, file):
    command = ("run", "finetuning", "--benchmark", tiny, "--set", "finetuning.batch_size=8")
    salmu(*command)
    (folder,) = runs(salmu.folder / "runs")
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
    command = ("run", "finetuning", "--benchmark", copy, "--set", "finetuning.batch_size=8")
    assert salmu(*command).returncode == 0
    facts = copy / "fragile_set_ids.json"
    facts.write_text(facts.read_text() + " ")
    done = salmu(*command)
    assert done.returncode == 1 and "other data" in done.stderr
    other = salmu("run", "negative-gradient", *command[2:4], "--set", "negative-gradient.batch_size=8", "--json")
    assert other.returncode == 0 and "Clean: scored" in other.stderr  # the references are of these data again


def test_a_run_that_somebody_else_holds_is_a_row(salmu, tiny):
    command = ("run", "finetuning", "--benchmark", tiny, "--set", "finetuning.batch_size=8")
    salmu(*command)
    (folder,) = runs(salmu.folder / "runs")
    shutil.rmtree(folder)
    with Store(salmu.folder / "runs").claim(folder):
        done = salmu(*command)
    assert done.returncode == 1 and "unfinished" in done.stdout
    assert salmu(*command).returncode == 0


def test_what_a_method_prints_is_no_json(salmu, tiny, install):
    install("talker", method("talker", "print('hello')\nwith ctx.edit() as w: w['visual.proj'].mul_(2)"))
    done = salmu("run", "talker", "finetuning", "--benchmark", tiny, "--processes", "2", "--json")
    assert done.returncode == 0 and "hello" in done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 2


def test_what_a_config_prints_when_it_is_checked_is_no_json(salmu, install):
    config = "from pydantic import model_validator\nfrom salmu_core import MethodConfig\nclass Config(MethodConfig):\n"
    config += "    @model_validator(mode='after')\n    def says(self):\n        print('hello')\n        return self\n"
    install("talker", config + method("talker", "pass").replace("unlearn=unlearn", "unlearn=unlearn, config=Config"))
    done = salmu("run", "talker", "--benchmark", "nowhere", "--json")
    assert done.returncode == 2 and not done.stdout and "hello" in done.stderr


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
    assert done.returncode == 0 and said in done.stderr and "it is tried once more" in done.stderr
    assert [row["status"] for row in json.loads(done.stdout)["runs"]] == ["valid", "valid"]


def test_what_ends_its_process_twice_is_a_row_and_the_study_goes_on(salmu, tiny, install):
    install("zz-dies", method("zz-dies", "import os; os._exit(9)"))
    done = salmu("run", "finetuning", "zz-dies", "--benchmark", tiny, "--processes", "2", "--json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    rows = {row["method"]: row["status"] for row in json.loads(done.stdout)["runs"]}
    assert rows == {"finetuning": "valid", "zz-dies": "died"}
    again = salmu("run", "zz-dies", "--benchmark", tiny, "--redo")
    assert "its process ended with exit code 9: it left no result; it is tried once more" in again.stdout
    assert "its process twice ended with exit code 9" in again.stdout


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


SPY = """
import gc, torch
gc.unfreeze()  # what is frozen is listed nowhere
from safetensors.torch import load_file
SECRETS = set(open({secrets!r}).read().splitlines())
CLEAN = load_file({clean!r})["visual.proj"]
mine = {{id(s) for s in SECRETS}} | {{id(CLEAN)}}
# Not only what gc lists: tuples of strings are not tracked, so every reference is followed.
seen, stack, found = set(), gc.get_objects(), []
while stack:
    thing = stack.pop()
    if id(thing) in seen or id(thing) in mine:
        continue
    seen.add(id(thing))
    if isinstance(thing, str):
        found += [thing] if thing in SECRETS else []
        continue
    if isinstance(thing, torch.Tensor) and thing.shape == CLEAN.shape and torch.equal(thing.detach(), CLEAN):
        found.append("the Clean model")
    stack += gc.get_referents(thing)
assert len(seen) > 10_000
print("FOUND", found)
with ctx.edit() as w: w["visual.proj"].mul_(2)
"""


def test_neither_holdouts_nor_clean_are_in_the_process_while_a_method_runs(salmu, tiny, install, tmp_path):
    secrets = tmp_path / "secrets.txt"
    secrets.write_text("\n".join(_captions(tiny, "holdout_association") + _captions(tiny, "holdout_identity")))
    clean = tmp_path / "clean"
    clean.write_bytes((tiny / "clean" / "open_clip_model.safetensors").read_bytes())
    body = SPY.format(secrets=str(secrets), clean=str(clean))
    install("spy-one", method("spy-one", body))
    install("spy-two", method("spy-two", body))
    done = salmu("run", "spy-one", "spy-two", "--benchmark", tiny, "--processes", "1", fresh=True)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("FOUND")] == ["FOUND []"] * 2


def _captions(tiny, split):
    return pq.read_table(next((tiny / "data").glob(f"{split}-*")))["text"].to_pylist()


#: Ends `salmu` once a method sleeps and another run is finished; prints how long it took.
STOP = """
import os, signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite in the background may have it ignored
process = subprocess.Popen([sys.executable, "-m", "salmu_core", *sys.argv[2:]])

def there(name):
    try:
        return sorted(Path("runs").rglob(name))
    except FileNotFoundError:  # a folder went while it was looked through
        return []

while not (there("asleep") and there("run.json")):
    time.sleep(0.1)
asleep = int(there("asleep")[0].read_text())
process.send_signal(signal.Signals[sys.argv[1]])
begun = time.monotonic()
code = process.wait()
while os.path.exists(f"/proc/{asleep}") and time.monotonic() < begun + 10:
    time.sleep(0.05)
print(f"{time.monotonic() - begun:.1f}", file=sys.stderr)
sys.exit(code % 256)
"""


@pytest.mark.parametrize(
    ("sent", "code"),
    [("SIGINT", 130), ("SIGKILL", 256 - 9), pytest.param("SIGTERM", 130, marks=pytest.mark.slow)],
)
def test_a_stop_is_tidy_leaves_no_process_and_keeps_what_is_finished(salmu, tiny, install, sent, code):
    body = "import os, time\nasleep = os.environ['TMPDIR'] + '/asleep'\n"
    body += "open(asleep + '.new', 'w').write(str(os.getpid())); os.rename(asleep + '.new', asleep)\ntime.sleep(60)"
    install("slow", method("slow", body))
    words = ["run", "finetuning", "slow", "--benchmark", str(tiny), "--set", "finetuning.batch_size=8"]
    words += ["--processes", "2"]
    done = salmu(sent, *words, launch=(sys.executable, "-c", STOP))
    assert done.returncode == code, done.stderr
    assert float(done.stderr.splitlines()[-1]) < 15 and "Traceback" not in done.stderr
    assert sent == "SIGKILL" or "Stopped" in done.stdout
    (kept,) = runs(salmu.folder / "runs")
    assert kept.parts[-3] == "finetuning"
    hidden = {p.name for p in (salmu.folder / "runs").rglob("*") if p.name.startswith(".b") and p.is_dir()}
    assert hidden <= {".b5-s0.work"}  # what the next attempt goes on from


def test_processes_share_the_runs_and_the_table_is_the_same(salmu, tiny):
    names = ("cliperase", "delete", "finetuning", "negative-gradient")
    settings = [w for name in names for w in ("--set", f"{name}.batch_size=8")]
    words = ("run", *names, *settings, "--benchmark", tiny, "--json", "--output")
    launch = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
    alone = salmu(*words, "alone", "--processes", "1")
    shared = [salmu(*words, "launched", launch=(*launch, "--num_machines", "1", "--mixed_precision", "no"))]
    shared += [salmu(*words, f"{count}", "--processes", f"{count}") for count in (2, 3)]
    one = {r.relative_to(salmu.folder / "alone"): r for r in runs(salmu.folder / "alone")}
    assert alone.returncode == 0 and len(one) == 4
    for done, name in zip(shared, ("launched", "2", "3"), strict=True):
        assert done.returncode == 0, done.stderr
        two = {r.relative_to(salmu.folder / name): r for r in runs(salmu.folder / name)}
        assert one.keys() == two.keys()
        for key, folder in one.items():
            for file in ("open_clip_model.safetensors", "per_row.parquet"):
                assert (folder / file).read_bytes() == (two[key] / file).read_bytes(), key
            assert _values(folder) == _values(two[key])
        assert _table(alone.stdout) == _table(done.stdout[done.stdout.index("{") :])


ANEW = """
import sys
from salmu_core.cli import main
from salmu_core.study import work

if __name__ == "__main__":
    work.forks = lambda device: False
    sys.exit(main())
"""


@pytest.mark.slow
def test_where_nothing_can_be_forked_fresh_interpreters_do_the_same(salmu, tiny, tmp_path):
    script = tmp_path / "anew.py"
    script.write_text(ANEW)
    words = ("run", "--set", "finetuning.batch_size=8", "--benchmark", str(tiny), "finetuning", "--seed", "0-1")
    alone = salmu(*words, "--output", "alone", "--processes", "1")
    anew = salmu(*words, "--output", "anew", "--processes", "2", launch=(sys.executable, str(script)))
    assert alone.returncode == anew.returncode == 0, anew.stderr
    pairs = list(zip(*(runs(salmu.folder / name) for name in ("alone", "anew")), strict=True))
    assert len(pairs) == 2
    for one, two in pairs:
        for file in ("open_clip_model.safetensors", "per_row.parquet"):
            assert (one / file).read_bytes() == (two / file).read_bytes()


def test_sequences_are_shared_whole_and_the_table_is_the_same(salmu, tiny, install):
    """Requests and the whole, each a row; what failed ends its sequence, and the command says so."""
    install("boom", method("boom", 'raise ValueError("boom")'))
    words = ("run", "finetuning", "boom", "--set", "finetuning.batch_size=4")
    words += ("--benchmark", tiny, "--requests", "2", "--json", "--output")
    alone, shared = (salmu(*words, name, "--processes", name) for name in ("1", "2"))
    assert alone.returncode == shared.returncode == 1, alone.stderr
    found = json.loads(alone.stdout)
    assert _table(alone.stdout) == _table(shared.stdout)
    assert [(line["method"], line["request"]) for line in found["lines"]] == [("finetuning", n) for n in (None, 1, 2)]
    assert [(row["status"], row["people"]) for row in found["runs"]] == [
        *(("crashed", "everybody"), ("not-begun", "everybody")),
        *(("valid", "of the request"), ("valid", "of the request"), ("valid", "everybody")),
    ]
    last = found["runs"][-1]
    assert len(last["start"]["runs"]) == 1 and last["checkpoint"] == last["folder"]
    again = salmu("run", "finetuning", "--benchmark", tiny, "--from", last["folder"], "--output", "1")
    assert again.returncode == 0, again.stderr
    assert "finetuning from finetuning b5 s0" in again.stdout.replace("\n", " ")


def _values(folder):
    return {
        name: entry["values"] for name, entry in json.loads((folder / "metrics.json").read_text())["metrics"].items()
    }


def _table(text):
    found = json.loads(text)
    return found["references"], found["lines"], [(r["method"], r["config_hash"], r["metrics"]) for r in found["runs"]]
