"""Studies over worlds, and the doctor, on a benchmark that is built in a moment."""

import json
import re

import pytest
from stores import rewrite

from salmu_core.judge.results import read_results
from salmu_core.store.folders import Store

BENCHMARK = """
from salmu_core import Band, BenchmarkSpec, hookimpl

def build(folder, world, progress):
    from salmu_core.testing import write_tiny_benchmark
    progress("writing", 0.5)
    write_tiny_benchmark(folder, seed=world)

@hookimpl
def salmu_benchmarks():
    return [BenchmarkSpec(name="small", version="1", summary="A test.", build=build, bands=BANDS)]

BANDS = (Band(model="clean", figure="GenKnow", low={low}),)
"""
RUN = ("--benchmark", "small", "--set", "finetuning.batch_size=8")
STUDY = ("finetuning", *RUN, "--world", "0-1", "--world", "3", "--budget", "1", "--seed", "0-1")


@pytest.fixture
def small(install):
    install("small", BENCHMARK.format(low=0))


def test_one_command_makes_worlds_and_seeds_and_twice_the_same(salmu, small):
    first = salmu("run", *STUDY, "--json", "--output", "one")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert found["worlds"] == ["small", "small@1", "small@3"] and len(found["runs"]) == 3 * 2
    assert [len(line["runs"]) for line in found["lines"]] == [6] and found["notes"] == []
    assert all(line["figures"]["AssocStr"]["margin"] > 0 for line in found["lines"])
    cleans = [salmu.folder / "one" / world / "_references/clean/metrics.json" for world in found["worlds"]]
    assert len({json.loads(path.read_text())["data_hash"] for path in cleans}) == 3

    second = salmu("run", *STUDY, "--json", "--output", "two", "--processes", "1")
    # One process opens no holdouts of any world before the last method has run.
    assert re.findall(r"\] .*: (valid|scored)", second.stderr) == ["valid"] * 6 + ["scored"] * (6 + 2 * 3)
    again = json.loads(second.stdout)
    for part in ("references", "reference_tails", "lines", "notes"):
        assert again[part] == found[part], part
    for run, other in zip(found["runs"], again["runs"], strict=True):
        for file in ("open_clip_model.safetensors", "per_row.parquet"):
            one, two = (salmu.folder / each["folder"] / file for each in (run, other))
            assert one.read_bytes() == two.read_bytes()

    some = json.loads(salmu("results", "--output", "one", "--world", "1,3", "--json").stdout)
    assert some["worlds"] == ["small@1", "small@3"] and len(some["runs"]) == 4
    absent = salmu("results", "--output", "one", "--world", "7")
    assert absent.returncode == 2 and "small@3" in absent.stderr


def test_worlds_of_a_folder_are_refused_before_anything_is_built(salmu, small, tiny):
    done = salmu("run", "finetuning", "--benchmark", tiny, "--world", "0-1")
    assert done.returncode == 2 and "installed benchmark" in done.stderr
    wrong = salmu("run", "finetuning", "--benchmark", "small", "--world", "1-")
    assert wrong.returncode == 2 and "worlds are whole numbers" in wrong.stderr
    assert not list(salmu.folder.iterdir())


def test_results_and_doctor_leave_out_what_is_damaged_or_of_other_data_and_say_so(salmu, small):
    assert salmu("run", "finetuning", *RUN).returncode == 0
    well = salmu("doctor", "--benchmark", "small", "--json")
    found = {each["subject"]: each for each in json.loads(well.stdout)}
    assert well.returncode == 0 and all(each["sound"] for each in found.values()), well.stdout
    assert {"machine", "libraries", "cache", "results", "plugins", "benchmark small", "device"} <= set(found)
    assert {"Clean GenKnow", "scoring repeats", "references reproduce"} <= set(found)

    store = Store(salmu.folder / "runs")
    clean = store.reference("small", "clean")
    rows, record = (clean / "per_row.parquet").read_bytes(), (clean / "metrics.json").read_text()
    for file, damage in (("per_row.parquet", rows[:100]), ("metrics.json", b"{")):
        (clean / file).write_bytes(damage)
        results = read_results(store, ["small"])
        assert "Clean of small: " in results.problems[0] and results.rows[0].status == "valid"
        (clean / "per_row.parquet").write_bytes(rows)
    (clean / "metrics.json").write_text(record)
    rewrite(clean / "metrics.json", data_hash="0" * 64)
    (row,) = json.loads(salmu("results", "--json").stdout)["runs"]
    assert row["status"] == "other data"
    off = salmu("doctor", "--benchmark", "small")
    assert off.returncode == 1 and "other data or weights" in " ".join(off.stdout.split())


def test_the_doctor_tells_all_even_where_it_can_not_go_on(salmu, small):
    done = salmu("doctor", "--benchmark", "small", SALMU_CACHE="/dev/null/nowhere")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "set SALMU_CACHE" in " ".join(done.stdout.split()) and "plugins" in done.stdout


def test_the_doctor_says_what_is_off(salmu, install):
    install("small", BENCHMARK.format(low=1.5))
    install("broken", "import nothing_of_this_name", requires="salmu-core>=0.1")
    install("dice", DICE, requires="no-such-library>=2")
    done = salmu("doctor", "--benchmark", "small")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    off = [line for line in done.stdout.splitlines() if line.startswith("off")]
    said = "\n".join(off)
    assert "plugin broken" in said and "libraries" in said and "Clean GenKnow" in said and "scoring repeats" in said
    assert re.search(r"\d+ of \d+ are off", done.stdout)


DICE = """
from salmu_core import MetricResult, MetricSpec, hookimpl

def compute(ctx):
    import random
    return MetricResult(random.random())

@hookimpl
def salmu_metrics():
    facts = {"summary": "A test.", "pillar": "efficacy", "target": "clean", "paper": "https://example.org"}
    return [MetricSpec(name="Dice", reads=("forget",), compute=compute, **facts)]
"""
