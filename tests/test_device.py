"""The measurements on a card: they run anywhere, and the page says what they say, or that there are none."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "device" / "measure.py"
DATA = ROOT / "docs" / "data" / "device"
#: Everything that is measured without a card, too.
KINDS = {"peak", "training", "encoding", "agreement", "together", "unlearned", "scored"}
TORCH = {"OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": ""}

pytestmark = pytest.mark.xdist_group("device")  # one process measures for all of them


@pytest.fixture(scope="module")
def measured(tmp_path_factory, launcher):
    """What a quick run writes, and what it says."""
    folder = tmp_path_factory.mktemp("device")
    out, environment = folder / "device.json", {**os.environ, **TORCH, "PYTHONPATH": str(SCRIPT.parent)}
    said = launcher.run(["--quick", "--out", str(out)], folder, environment, timeout=280, module="measure")
    assert said.returncode == 0, said.stderr
    return out, said.stdout


@pytest.fixture
def figures(monkeypatch):
    """The module that writes the page."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    import card_figures

    return card_figures


@pytest.fixture
def records(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import records

    return records


def test_everything_is_measured_at_tiny_sizes_on_any_machine(measured, records):
    out, said = measured
    found = records.Measurement.model_validate_json(out.read_text())
    problems = [result for result in found.results if result.kind == "failure"]
    assert not problems, said
    assert {result.kind for result in found.results} == KINDS and found.quick
    assert {r.variant for r in found.results if r.kind == "training"} == {"eager", "compiled"}
    assert "matrix products in bf16" in said and "0 without one" in said


@pytest.fixture
def measure(monkeypatch):
    """The script as a module; the laboratory has one of the same name."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.delitem(sys.modules, "measure", raising=False)
    yield importlib.import_module("measure")
    del sys.modules["measure"]


def test_a_part_is_measured_again_beside_the_others(measured, records, measure):
    earlier = records.Measurement.model_validate_json(measured[0].read_text())
    (peak,) = (r for r in earlier.results if r.kind == "peak" and r.precision == "bf16")
    faster = peak.model_copy(update={"tflops": 2 * peak.tflops})
    lost = records.Failure(part="study", what="the rest", why="it was ended")
    both = measure.beside(earlier, earlier.model_copy(update={"results": (lost, faster)}), ["peak", "study"])
    assert both.results[0] == faster and lost in both.results
    assert {r.kind for r in both.results} == KINDS - {"unlearned", "scored"} | {"failure"}
    other = earlier.machine.model_copy(update={"card": "another"})
    alone = measure.beside(earlier, earlier.model_copy(update={"results": (faster,), "machine": other}), ["peak"])
    assert alone.results == (faster,)


def test_what_a_card_is_held_against_runs_here(tiny_benchmark):
    # The tests of a card are skipped on most machines: what they call must not drift meanwhile.
    import gpu_entry

    weights, losses = gpu_entry.trained("cpu", steps=2)
    assert len(losses) == 2 and all(torch.isfinite(value).all() for value in weights.values())
    assert len(gpu_entry.embedded("cpu", tiny_benchmark)) > 10
    assert gpu_entry.unlearned("cpu", tiny_benchmark).ledger.steps > 5


def test_the_page_shows_every_figure_with_the_name_of_its_card(measured, figures, tmp_path):
    data = json.loads(measured[0].read_text())
    data["machine"] |= {"card": "Drawn Card 9000", "memory_gib": 79.2, "driver": "1.2", "cuda": "13.0"}
    data["results"].append({"kind": "failure", "part": "training", "what": "512 + 512", "why": "out of | memory"})
    path = tmp_path / "device.json"
    path.write_text(json.dumps(data))
    text = figures.text(tmp_path)
    lines = text.splitlines()
    titles = [line for line in lines if line.startswith("**")]
    assert len(titles) == len(KINDS) + 1 and titles.pop() == "**What has no figure**"
    assert all("measured on one Drawn Card 9000" in title for title in titles)
    rows = [line for line in lines if line.startswith("| ") and "---" not in line]
    assert len(rows) == len(data["results"]) + len(titles) + 1
    training = next(result for result in data["results"] if result["kind"] == "training")
    assert f"| {training['pairs_per_second']:,.0f} |" in text and "out of \\| memory" in text
    assert "79.2 GiB" in text and "driver 1.2, CUDA 13.0" in text and "measures nothing" in text


def test_where_nobody_has_measured_the_page_says_so(figures, tmp_path):
    assert figures.text(tmp_path).strip() == "**Not measured yet.**"


def test_every_card_has_its_figures_and_what_else_its_machine_did(measured, figures, tmp_path):
    data = json.loads(measured[0].read_text())
    for name, date, beside in (("Old Card", "2026-01-02", ""), ("New Card", "2026-03-04", "something else ran")):
        data |= {"machine": {**data["machine"], "card": name}, "date": date, "beside": beside}
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    text = figures.text(tmp_path)
    introductions = [line for line in text.splitlines() if line.startswith("Measured on one")]
    assert [line.split(" on ")[1] for line in introductions] == ["one New Card", "one Old Card"]
    assert ["while something else ran" in line for line in introductions] == [True, False]


def test_the_page_is_made_from_the_file_that_is_written(figures, records):
    assert "```{on-a-card}" in (ROOT / "docs" / "performance.md").read_text()
    assert figures.DATA == DATA and '"on_a_card"' in (ROOT / "docs" / "conf.py").read_text()
    for path in DATA.glob("*.json"):
        found = records.Measurement.model_validate_json(path.read_text())
        assert not found.quick and found.machine.card != "none", "measure again, on a card"
        assert found.machine.card in figures.text()
        assert path.stem == found.machine.card.lower().replace(" ", "-")


def test_a_part_that_fails_takes_too_long_or_dies_leaves_the_others_alone(records, monkeypatch, tmp_path):
    import time

    import job

    monkeypatch.setattr(job, "DRIVER", tmp_path / "none")  # what is local to a test can only be forked

    def told(name, part, seconds=60.0):
        made = job.Job(name, tmp_path, True, time.monotonic() + seconds, tmp_path / f"{name}.jsonl")
        return [(r.what, r.why) if r.kind == "failure" else r.tflops for r in job.run(made, part)]

    def fails(part):
        part.tell(records.Peak(precision="bf16", size=2, tflops=1 / 3))
        part.attempt("one thing", lambda: 1 / 0)
        part.attempt("a long thing", lambda: None, needs=1000)
        raise RuntimeError("it fell over\nand said more")

    assert told("fails", fails) == [
        0.3333,
        ("one thing", "ZeroDivisionError: division by zero"),
        ("a long thing", "there was no time left for it"),
        ("all of it", "RuntimeError: it fell over"),
    ]
    assert told("dies", lambda part: os._exit(3)) == [("the rest", "its process ended with code 3")]
    late = told("sleeps", lambda part: time.sleep(600), seconds=-4)
    assert late == [("the rest", "it was ended, because its time was over")]
