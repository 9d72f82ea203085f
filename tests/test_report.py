"""The table: readable at 100 columns, honest about what is missing or invalid."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from salmu_core.diagnosis import diagnose
from salmu_core.plugins import Declared, discover
from salmu_core.records import BenchmarkRef, Ledger, PluginRef, RunRecord
from salmu_core.report.table import columns, labels, show
from salmu_core.results import Results, Row
from salmu_core.specs import MetricSpec

ZOO = discover()
PUBLISHED = json.loads((Path(__file__).parent / "data" / "published.json").read_text())
REFERENCES = PUBLISHED["metrics"]


def record(method, status="valid", reason=""):
    return RunRecord(
        status=status,
        reason=reason,
        benchmark=BenchmarkRef(name="mini", data_hash="", start_model_hash=""),
        method=method,
        plugin=PluginRef(distribution="d", version="1", code_hash=""),
        config={},
        config_hash="0" * 64,
        budget=5,
        seed=0,
        ledger=Ledger(seconds=12.3),
        environment={},
        command="",
        started="",
    )


def valid(method, **changes):
    metrics = {**REFERENCES["compromised"], **changes}
    found = diagnose(metrics, REFERENCES["clean"], REFERENCES["compromised"])
    return Row(Path("runs") / method, method, record(method), "valid", "", metrics, {}, found)


def text(rows, notice=""):
    console = Console(width=100, record=True, color_system=None, force_terminal=False)
    with console.capture() as captured:
        show(console, Results("mini", REFERENCES, rows), ZOO.metrics, notice)
    return captured.get()


def test_it_fits_100_columns_with_the_longest_names():
    shown = text([valid("a-method-with-quite-a-name", RetFail_MRR=0.0008, InterIdSim=-0.4, GenKnow=0.1)], "A notice.")
    assert max(map(len, shown.splitlines())) <= 100
    assert "A notice." in shown and "a-method-with-quite-a-" in shown
    for column in columns(ZOO.metrics):
        for word in column.name.split("_"):
            assert word in shown, column.name
    assert "Compromised" in shown and "Clean" in shown and "…" not in shown


def test_a_missed_target_is_marked_with_its_distance():
    shown = text([valid("one", AssocStr=0.5)])
    assert "0.500*" in shown and f"{0.5 - REFERENCES['clean']['AssocStr']:+.3f}" in shown
    assert "0.638*" not in shown


@pytest.mark.parametrize(
    ("column", "value", "reached"),
    [
        ("RetFail_MRR", 0.0030, True),
        ("RetFail_MRR", 0.0040, False),
        ("GenKnow", 0.632, True),
        ("GenKnow", 0.630, False),
        ("InterIdSim", 0.305, True),
        ("InterIdSim", 0.300, False),
        ("AssocStr", 0.130, True),
        ("AssocStr", 0.100, False),  # below Clean: it shows that something was there
    ],
)
def test_what_counts_as_reached(column, value, reached):
    (found,) = (c for c in columns(ZOO.metrics) if c.name == column)
    assert found.reached(value, REFERENCES) is reached
    assert found.reached(value, {"clean": {}, "compromised": {}}) is None


def test_invalid_rows_stand_apart_with_their_reason_as_plain_text():
    bad = Row(
        Path("runs/x"), "bad", record("bad", "crashed", "[red]no markup[/red]"), "crashed", "[red]no markup[/red]"
    )
    shown = text([valid("good"), bad])
    figures, _, apart = shown.partition("not ranked")
    assert "good" in figures and "bad" not in figures
    assert "[red]no markup[/red]" in apart and "traceback.txt" in apart


def test_no_runs_is_said():
    assert "There are no runs" in text([])


def test_runs_of_one_method_with_other_settings_are_told_apart():
    def run(folder, **config):
        made = record("sweep").model_copy(update={"config": {"lr": 0.1, **config}})
        return replace(valid("sweep"), folder=Path(folder), record=made)

    rows = [run("a", k=32), run("b", k=48), valid("other")]
    assert labels(rows)[Path("a")] == "sweep k=32" and labels(rows)[Path("b")] == "sweep k=48"
    shown = text(rows)
    assert "k=32" in shown and "k=48" in shown and "lr" not in shown
    assert labels(rows[1:])[Path("b")] == "sweep"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_more_figures_than_fit_are_in_further_tables_and_every_row_keeps_its_name(width):
    metrics = {f"M{k}": Declared(spec(f"M{k}", "A_long_figure", "B"), "d", "1", "m") for k in range(9)}
    figures = {name: 0.25 for m in metrics.values() for name in m.spec.columns}
    references = {"clean": figures, "compromised": figures}
    console = Console(width=width, record=True, color_system=None, force_terminal=False)
    with console.capture() as captured:
        row = replace(valid("a-method"), metrics=figures)
        show(console, Results("mini", references, [row]), metrics)
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width and "…" not in shown
    tables = shown.count(": efficacy (")
    assert tables > 1 and shown.count("│ Compromised ") == shown.count("│ a-method ") - 1 == tables
    assert shown.count("0.250") == 9 * 2 * 3


def spec(name, *figures):
    facts = {"summary": "A test.", "pillar": "efficacy", "target": "clean", "paper": "https://example.org"}
    return MetricSpec(name=name, figures=figures, reads=("forget",), compute=lambda ctx: None, **facts)
