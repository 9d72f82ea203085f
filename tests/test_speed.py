"""The measurements of speed: they run at tiny sizes, sides that should agree do, the page shows them."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "benchmarks" / "speed"
DATA = ROOT / "docs" / "data" / "speed.json"


@pytest.fixture
def script(monkeypatch):
    """A script as a module; other folders have some of the same names."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = [path.stem for path in SCRIPTS.glob("*.py")]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def page(monkeypatch):
    """The module that writes the tables."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    import speed_figures

    return speed_figures


def measured(tmp_path, benchmark, *words):
    """A quick measurement, and what was said."""
    out = tmp_path / "speed.json"
    command = [sys.executable, SCRIPTS / "measure.py", "--quick", "--out", out, "--benchmark", benchmark, *words]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    return json.loads(out.read_text())["parts"], said.stdout


def test_steps_are_measured_and_come_to_the_same(tmp_path, tiny, script):
    parts, said = measured(tmp_path, tiny, "--only", "step", "--against", ROOT)
    assert parts.keys() == {"step"} and "a step of `finetuning` / the same step there" in said
    steps = {figure["what"]: figure for figure in parts["step"]["figures"]}
    for method in ("delete", "cliperase", "vlunlearn"):
        (losses,) = (figure for what, figure in steps.items() if what.startswith(f"losses of `{method}`"))
        assert losses["value"] <= script("step").UNTRAINED and losses["rounds"] == 3
    assert sum(figure["unit"] == "times" for figure in parts["step"]["figures"]) == 7
    assert parts["step"]["against"] == parts["step"]["commit"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["study", "fit_overhead", "scoring", "growth", "overhead", "engines"])
def test_the_other_parts_run(tmp_path, tiny, name):
    assert measured(tmp_path, tiny, "--only", name, "--against", ROOT)[0][name]["figures"]


def test_sides_take_turns_and_every_other_round_goes_backwards(script):
    figures, turns = script("figures"), []
    sides = {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}
    costs = figures.in_turn(sides, rounds=2, warm=1)
    assert turns == ["a", "b", "b", "a", "a", "b"] and costs == {"a": [4, 5], "b": [3, 6]}
    figure = figures.ratio("a", "b", {"a": [2, 3, 8], "b": [1, 1, 2]}, ("a", "b"), at_most=2.5)
    assert (figure.value, figure.low, figure.high) == tuple(np.quantile([2, 3, 4], [0.5, 0.25, 0.75]))
    assert figure.short and (figure.ours, figure.theirs) == (3, 1)
    more = figures.ratio("a", "b", {"a": [1.25], "b": [1]}, ("a", "b"), more=True, at_least=10)
    assert more.value == 25 and more.unit == "percent more" and not more.short


def test_what_is_fixed_drops_out_of_an_exponent(script):
    costs = [7 + 3 * n**0.8 for n in (1, 4, 16)]
    assert script("growth").exponent(*costs) == pytest.approx(0.8)


def test_many_runs_are_a_study_under_other_seeds(tmp_path, script, salmu):
    import stores

    rows = stores.leak(np.arange(1, 81)) | {"AssocStr": stores.around(0.5)}
    for role in ("clean", "compromised"):
        stores.write_reference(tmp_path / "study", role, rows)
    stores.write_run(tmp_path / "study", "delete", rows)
    stores.write_run(tmp_path / "study", "cliperase", rows)
    assert script("many_runs").make(tmp_path / "study", tmp_path / "many", runs=5) == 6
    listing = json.loads(salmu("results", "--output", tmp_path / "many", "--json").stdout)
    runs = [run for run in listing["runs"] if run["status"] == "valid"]
    assert sorted((run["method"], run["seed"]) for run in runs) == [
        (m, s) for m in ("cliperase", "delete") for s in range(3)
    ]
    assert len({run["metrics"]["AssocStr"] for run in runs}) == 3
    assert all(0 < run["metrics"]["RetFail_MRR"] <= 1 for run in runs)


def test_the_page_has_every_part_and_says_what_falls_short(tmp_path, page, script):
    figures, measure = script("figures"), script("measure")
    words = (ROOT / "docs" / "performance.md").read_text()
    assert all(f"```{{speed}} {name}\n" in words for name in (*measure.PARTS, page.SHORT)) and page.DATA == figures.DATA
    assert page.text("step", tmp_path / "absent.json") == page.NOT_YET
    slow = figures.Figure(what="slow", to="bare", value=3.14159, low=3, high=4, rounds=5, ours=6.2, theirs=2, at_most=2)
    fast = figures.Figure(what="fast", unit="s", value=1, low=1, high=1, rounds=1, at_most=1.5)
    part = figures.Part(
        date="2026-01-02", commit="abc", against="def", seconds=60, machine=figures.machine(), figures=(slow, fast)
    )
    path = tmp_path / "speed.json"
    path.write_text(figures.Speed(parts={"step": part}).model_dump_json(exclude_none=True))
    text = page.text("step", path)
    assert "| slow | bare | **3.14** | 3.00 to 4.00 | 5 | ≤ 2 | 6.2 / 2 |" in text
    assert "| fast |  | 1.00 s | - | 1 | ≤ 1.5 s |  |" in text and "commit abc, against commit def" in text
    assert page.text("short", path).splitlines() == [
        "Of 2 figures that have an aim, these fall short:",
        "",
        "* slow, held against bare: 3.14 where ≤ 2 was aimed at.",
    ]
    assert page.text("growth", path) == page.NOT_YET


def test_what_stands_in_the_file_is_what_is_measured(script):
    if not DATA.is_file():
        pytest.skip("nothing has been measured yet")
    parts = script("figures").Speed.model_validate_json(DATA.read_text()).parts
    assert parts.keys() <= set(script("measure").PARTS)
    assert all(not part.commit.endswith("+") for part in parts.values()), "measure again, at a commit"
