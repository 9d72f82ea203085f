"""`salmu tune` on a tiny benchmark: what is tried, by what it is scored, what survives, and who shares the work."""

import csv
import json
import random
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field
from salmu_tune.journal import Journal
from salmu_tune.objective import score
from salmu_tune.space import Space

from salmu_core import MethodSpec, Probe, Search, TrainingConfig
from salmu_core.benchmark.folder import Benchmark
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.study import execution
from salmu_core.study.plan import config_hash
from salmu_core.study.tuned import read_tuned
from salmu_core.testing import run_method, typed

METHOD = "negative-gradient"


def tune(tiny, output, *words, trials=3, methods=(METHOD,)):
    done = typed(output.parent, "tune", *methods, "--benchmark", tiny, "--trials", trials, "--output", output, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def folder_of(output):
    (found,) = (output / "_tune").iterdir()
    return found


def log(output):
    with (folder_of(output) / "trials.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def tuned(tiny_benchmark, tmp_path_factory):
    """A results folder with a finished search."""
    output = tmp_path_factory.mktemp("tuned") / "runs"
    assert METHOD in tune(tiny_benchmark, output, trials=4)
    return output


def probe(forget_mrr, agreement=1.0):
    return Probe(forget_mrr, 0.1, 0.5, 0.2, agreement)


def test_forgetting_is_the_way_to_chance_and_forgetting_comes_first():
    rng, rows = random.Random(0), 9
    # The own caption is anywhere among those of its kind, equally likely.
    chance = statistics.fmean(1 / rng.randint(1, rows) for _ in range(200_000))
    original = probe(0.9)
    assert score(original, original, rows).value == 0
    half = score(probe((0.9 + chance) / 2, 0.8), original, rows)
    assert half.forgotten == pytest.approx(0.5, abs=5e-3) and half.kept == 0.8
    assert half.value == pytest.approx(statistics.harmonic_mean([half.forgotten, 0.8]) / 2)
    # Whoever forgets is better than whoever does not, whatever it keeps; then what is kept counts.
    leaking = score(probe(chance + 0.02 * (0.9 - chance), 1.0), original, rows)
    wrecked, spared = (score(probe(chance + 0.005 * (0.9 - chance), kept), original, rows) for kept in (0.0, 0.7))
    assert leaking.value < wrecked.value == 0.5 < spared.value == 0.85
    gone = score(probe(chance / 2, 1.0), original, rows)
    assert gone.value == 1 and score(probe(0.9, 0.0), original, rows).value == 0
    assert score(probe(0.95, 1.0), original, rows).value == 0  # it leaks more than before


def test_the_default_is_the_first_trial_and_the_best_is_chosen(tuned, tiny_benchmark):
    rows, spec = log(tuned), discover().methods[METHOD].spec
    assert [int(row["trial"]) for row in rows] == [0, 1, 2, 3] and {row["status"] for row in rows} == {"valid"}
    assert json.loads(rows[0]["settings"]) == {"lr": spec.config().lr}
    (chosen,) = (row for row in rows if row["chosen"])
    assert float(chosen["mean"]) == max(float(row["mean"]) for row in rows) >= float(rows[0]["mean"])
    kept = json.loads((folder_of(tuned) / "tuned.json").read_text())[METHOD]
    assert kept["config"] == json.loads(chosen["settings"]) and kept["code_hash"] == chosen["code"]
    for row in rows[1:]:
        assert 1e-6 <= json.loads(row["settings"])["lr"] <= 1e-2


def test_a_trial_is_the_run_of_its_settings_and_its_probe_is_the_method_s_own(tuned, tiny_benchmark):
    spec, found = discover().methods[METHOD].spec, []

    def unlearn(ctx):
        ctx.fit(spec.loss)
        found.append(ctx.probe())

    facts = {"name": METHOD, "summary": "A test.", "paper": "https://example.org", "config": TrainingConfig}
    for row in log(tuned)[:2]:
        run_method(MethodSpec(**facts, unlearn=unlearn), tiny_benchmark, budget=5, **json.loads(row["settings"]))
        for name, value in vars(found[-1]).items():
            assert float(row[name]) == pytest.approx(value, abs=1e-6), name


def test_neither_holdouts_nor_clean_nor_metrics_are_opened(tiny_benchmark, tmp_path, monkeypatch):
    def opened(*given, **named):
        raise AssertionError("it was opened")

    model = Benchmark.model
    monkeypatch.setattr(execution, "Scorer", opened)
    monkeypatch.setattr("salmu_core.benchmark.splits.read_evaluation", opened)
    monkeypatch.setattr(Benchmark, "model", lambda own, role: opened() if role == "clean" else model(own, role))
    tune(tiny_benchmark, tmp_path / "runs", trials=2)
    assert not [*(tmp_path / "runs").rglob("metrics.json"), *(tmp_path / "runs").rglob("_references")]
    assert not [*(tmp_path / "runs").rglob("*.safetensors")]  # what is known of a trial stands in the journal


def test_it_goes_on_where_it_stopped_with_the_same_trials(tuned, tiny_benchmark, tmp_path):
    output = tmp_path / "runs"
    tune(tiny_benchmark, output, trials=2)
    assert "Nothing to do" in tune(tiny_benchmark, output, trials=2)
    tune(tiny_benchmark, output, trials=4)

    def told(runs):
        return [(row["trial"], row["settings"], row["objective"]) for row in log(runs)]

    assert told(output) == told(tuned)


def test_what_somebody_left_unfinished_is_taken_over_and_counted_once(tmp_path):
    space = Space.of(discover().methods[METHOD].spec, {}, {})
    trials = Journal(tmp_path / "search").trials(METHOD, {"a": 1}, space)
    with trials.claim(2) as first, trials.claim(2) as second:
        assert first and second and (first.number, second.number) == (0, 1)
        with trials.claim(2) as third:
            assert third is None
        second.tell({"w": {"status": "valid", "objective": 0.5}})
    with Journal(tmp_path / "search").trials(METHOD, {"a": 1}, space).claim(2) as again:  # as another process would
        assert again and again.number == 0 and again.settings == first.settings
        again.tell({"w": {"status": "valid", "objective": 0.25}})
    assert [(trial.number, trial.value) for trial in trials.finished] == [(0, 0.25), (1, 0.5)]


class Chosen(TrainingConfig):
    """Settings of which some are chosen among few values."""

    kept: Annotated[float, Search(choices=(0.0, 0.1, 0.3, 1.0, 3.0))] = Field(default=0.0, description="A weight.")


def test_equal_settings_are_tried_once(tmp_path):
    method = discover().methods["generic-captions"].spec.model_copy(update={"config": Chosen})
    space = Space.of(method, {}, {"lr": 1e-4})
    assert [*space.fields] == ["kept"]
    trials, seen = Journal(tmp_path / "search").trials("m", {}, space), {}
    for _ in range(12):
        with trials.claim(12) as claim:
            value = claim.settings["kept"]
            assert claim.settings["lr"] == 1e-4 and (claim.known is not None) == (value in seen)
            if claim.known:
                claim.repeat(claim.known)
            else:
                seen[value] = value / 10
                claim.tell({"w": {"status": "valid", "objective": seen[value]}})
    assert len(trials.finished) == 12 and all(it.value == seen[it.params["kept"]] for it in trials.finished)


def test_two_at_once_share_one_journal(tiny_benchmark, tmp_path):
    words = [sys.executable, "-m", "salmu_core", "tune", METHOD, "--benchmark", str(tiny_benchmark), "--trials", "6"]
    both = [
        subprocess.Popen([*words, "--output", "runs"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    rows = log(tmp_path / "runs")
    assert [int(row["trial"]) for row in rows] == [*range(6)] and len({row["settings"] for row in rows}) == 6
    made = [line for text in said for line in text.splitlines() if " trial " in line]
    assert sorted(int(line.split(" trial ")[1].split(":")[0]) for line in made) == [*range(6)]


def test_what_fails_is_the_worst_and_no_crash(tiny_benchmark, tmp_path):
    said = tune(tiny_benchmark, tmp_path / "runs", "--budget", 0.01, "--json", trials=2)
    found = json.loads(said[said.index("{") : said.rindex("}") + 1])["methods"][0]
    assert (found["failed"], found["default"], found["chosen"], found["trial"]) == (2, 0, 0, 0)
    assert {row["objective"] for row in log(tmp_path / "runs")} == {"0.0"} and all(
        row["reason"] for row in log(tmp_path / "runs")
    )


def test_the_log_goes_where_it_is_asked_to(tuned, tiny_benchmark, tmp_path):
    tune(tiny_benchmark, tuned, "--export", tmp_path / "log.tsv", trials=4)
    assert (tmp_path / "log.tsv").read_bytes() == (folder_of(tuned) / "trials.tsv").read_bytes()


def test_a_run_takes_what_was_tuned_and_the_table_tells_it_from_the_default(tuned, tiny_benchmark, tmp_path):
    output, found = tmp_path / "runs", json.loads((folder_of(tuned) / "tuned.json").read_text())
    found[METHOD]["config"] = chosen = {"lr": 2e-4}  # whatever the search found: not the default
    (tmp_path / "tuned.json").write_text(json.dumps(found))
    words = ["run", METHOD, "--benchmark", tiny_benchmark, "--output", output]
    done = typed(tmp_path, *words, "--tuned", tmp_path)
    assert done.returncode == 0 and "What was tuned is taken for negative-gradient: lr" in done.stdout, done.stdout
    (path,) = output.glob(f"*/{METHOD}/*/*/run.json")
    record, spec = json.loads(path.read_text()), discover().methods[METHOD].spec
    assert record["config_hash"] == config_hash(spec.config(**chosen)) and record["recommended"]["tuned_on"]
    assert f"--set {METHOD}.lr={chosen['lr']!r}" in record["command"]
    assert typed(tmp_path, *words).returncode == 0
    lines = json.loads(typed(tmp_path, "results", "--output", output, "--json").stdout)["lines"]
    assert [line["label"].endswith("(tuned)") for line in lines].count(True) == 1 and len(lines) == 2
    over = typed(tmp_path, *words, "--tuned", tmp_path / "tuned.json", "--set", f"{METHOD}.lr=0.5")
    assert "What was tuned" not in over.stdout and any("0.5" in p.read_text() for p in output.glob("*/*/*/*/run.json"))


def test_other_code_of_a_method_is_told(tuned, tiny_benchmark, tmp_path):
    kept = json.loads((folder_of(tuned) / "tuned.json").read_text())
    kept[METHOD]["code_hash"] = "another"
    (tmp_path / "tuned.json").write_text(json.dumps(kept))
    done = typed(
        tmp_path, "run", METHOD, "--benchmark", tiny_benchmark, "--output", tmp_path / "r", "--tuned", tmp_path
    )
    assert f"{METHOD} had other code when it was tuned" in done.stdout


def test_the_only_result_below_a_folder_is_found(tuned, tmp_path):
    assert read_tuned(tuned) == read_tuned(folder_of(tuned))
    for name in ("a", "b"):
        shutil.copytree(folder_of(tuned), tmp_path / name)
    with pytest.raises(UsageError, match=r"several results of `salmu tune`, name one: .*/a, .*/b"):
        read_tuned(tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tune", "negative-gradiant"], "Did you mean 'negative-gradient'"),
        (["tune", METHOD, "--trials", "0"], "Invalid value for '--trials'"),
        (["tune", METHOD, "--budget", "0"], "--budget 0.0: it must be a number above 0"),
        (["tune", METHOD, "--set", f"{METHOD}.lr=1e-4"], "negative-gradient has nothing to search: all that it"),
        (["tune", METHOD, "--set", "delete.lr=1e-4"], "Settings are given for delete, which is not tuned"),
        (["run", METHOD, "--tuned", "nowhere"], "nowhere is no result of `salmu tune`"),
        (["run", "delete", "--tuned", "TUNED"], "What was tuned is of negative-gradient"),
    ],
)
def test_what_is_wrong_is_a_sentence(tuned, tiny_benchmark, tmp_path, words, sentence):
    words = [folder_of(tuned) if word == "TUNED" else word for word in words]
    done = typed(tmp_path, *words, "--benchmark", tiny_benchmark, "--output", "runs")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2 and sentence in said and "Traceback" not in said, said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("harm", ["damaged", "folder"])
def test_a_journal_that_is_none_is_a_sentence(tuned, tiny_benchmark, tmp_path, harm):
    journal = tmp_path / "runs" / "_tune" / folder_of(tuned).name / "journal.log"
    journal.parent.mkdir(parents=True)
    if harm == "folder":
        journal.mkdir()
    else:
        journal.write_text("this is no journal\nat all\n")
    done = typed(tmp_path, "tune", METHOD, "--benchmark", tiny_benchmark, "--output", "runs")
    said = done.stderr
    assert done.returncode == 1 and "journal.log" in said and "Traceback" not in said, said
    assert ("is damaged" if harm == "damaged" else "can't be read or written") in said


def test_a_method_without_a_range_has_nothing_to_search():
    spec = discover().methods["descent-to-delete"].spec
    with pytest.raises(Exception, match="has nothing to search"):
        Space.of(spec, {}, {"epsilon": 1.0})


def test_the_laboratory_s_script_makes_the_log_of_every_method_named(tiny_benchmark, tmp_path):
    script = Path(__file__).parents[3] / "benchmarks" / "laboratory" / "tuning.py"
    words = ["--benchmark", str(tiny_benchmark), "--trials", "2", "--output", "runs", "--log", "tuning.tsv"]
    command = [sys.executable, script, *words, METHOD, "descent-to-delete"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "tuning.tsv").open() as file:
        rows = [*csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert [(row["method"], row["trial"]) for row in rows] == [
        *((METHOD, "0"), (METHOD, "1"), ("descent-to-delete", "0"), ("descent-to-delete", "1"))
    ]
