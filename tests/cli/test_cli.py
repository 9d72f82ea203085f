"""The whole line, as people use it: each test is a `salmu` of its own."""

import json

import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sources import method
from stores import runs

RUN = ("negative-gradient", "finetuning", "--set", "negative-gradient.batch_size=8", "--set", "finetuning.batch_size=8")


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
    words += [f"--set=relearn-retain.{setting}" for setting in ("rates=[10]", "curve=[2]", "batch_size=4")]
    first = salmu(*words, "--json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    for row in found["runs"]:
        made = {attack["attack"]: attack for attack in row["attacks"]}
        assert list(made) == ["bare-value", "linear-readout", "relearn-retain"]
        assert all(attack["status"] == "valid" for attack in made.values()), made
        assert made["relearn-retain"]["ledger"]["retain_samples"] == 8
        readings = made["linear-readout"]["details"]["readings"].values()
        assert {reading["fitted_on"] for reading in readings} == {made["linear-readout"]["leaked"]["rows"]}
    assert {attack["attack"] for line in found["lines"] for attack in line["attacks"]} == set(made)
    second = salmu(*words)
    assert second.returncode == 0 and "Nothing to do" in second.stdout


def test_open_clip_loads_a_run_and_gives_our_embeddings(salmu, tiny, finished):
    folder, _ = finished
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tensors = load_file(folder / "open_clip_model.safetensors")
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())
    done = salmu("evaluate", folder, "--benchmark", tiny, "--json")
    found = json.loads(done.stdout)
    scored = found["metrics"]
    (line,) = json.loads(salmu("results", "--json").stdout)["lines"]
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


NO_COMPILER = """
import torch._inductor.config
torch._inductor.config.cpp.cxx = (None, "/bin/false")
torch._inductor.config.force_disable_caches = True
"""


def test_towers_that_cant_be_compiled_stand_in_the_record(salmu, tiny, install):
    install("no-compiler", NO_COMPILER)
    words = ("run", "finetuning", "--benchmark", tiny, "--compile", "on", "--budget", "1", "--processes", "1")
    done = salmu(*words, CUDA_VISIBLE_DEVICES="")
    assert (done.stdout + done.stderr).count("torch.compile is given up") == 1
    (record,) = [json.loads((folder / "run.json").read_text()) for folder in runs(salmu.folder / "runs")]
    assert record["status"] == "valid" and record["environment"]["compiled"] == "inductor, given up"


def test_a_precision_that_is_not_there_is_said_before_anything_is_opened(salmu, tiny):
    words = ("run", "finetuning", "--benchmark", tiny, "--mixed-precision", "fp16")
    done = salmu(*words, CUDA_VISIBLE_DEVICES="")
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
