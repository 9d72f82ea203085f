"""The table: readable at 100 columns, honest about what is missing or invalid."""

import json
from pathlib import Path

import pytest
from entries import declaration, entry, shown
from rich.console import Console
from studies import Maker, record

from salmu_core.judge.compare import compare
from salmu_core.judge.results import Row
from salmu_core.judge.targets import columns
from salmu_core.plugins.zoo import discover
from salmu_core.show.table import table
from salmu_core.show.terminal import render

ZOO = discover()
SHOWN = shown()
REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "published.json").read_text())["metrics"]
MAKE = Maker(REFERENCES)


def valid(method, **changes):
    return MAKE.row(method, {**REFERENCES["compromised"], **changes})


def text(rows, notice="", worlds=1, width=100):
    console = Console(width=width, record=True, color_system=None, force_terminal=False)
    with console.capture() as captured:
        comparison = compare(MAKE.results(rows, worlds, 0.02 * (worlds > 1)), SHOWN)
        console.print(render(table(comparison, SHOWN), notice, width))
    return captured.get()


def test_it_fits_100_columns_with_the_longest_names():
    shown = text([valid("a-method-with-quite-a-name", RetFail_MRR=0.0008, InterIdSim=-0.4, GenKnow=0.1)], "A notice.")
    assert max(map(len, shown.splitlines())) <= 100
    assert "A notice." in shown and "a-method-with-quit" in shown
    for column in SHOWN:
        for word in column.name.split("_"):
            assert word in shown, column.name
    assert "Compromised" in shown and "Clean" in shown and "…" not in shown


def test_values_have_their_interval_and_a_missed_target_its_mark():
    shown = text([valid("one", AssocStr=0.5)])
    assert "0.500*" in shown and "0.638*" not in shown
    (figure,) = [line.figures["AssocStr"] for line in compare(MAKE.results([valid("one", AssocStr=0.5)]), SHOWN).lines]
    half = max(figure.value.high - figure.value.value, figure.value.value - figure.value.low)
    assert f"±{half:.3f}".replace("±0", "±") in shown


def test_what_is_shown_to_be_at_its_target_has_another_mark():
    rows = [MAKE.row("one", REFERENCES["compromised"], world) for world in range(4)]
    assert "0.638≈" in text(rows, worlds=4)


def test_open_modes_have_a_question_mark_and_below_zero_is_said():
    shown = text([valid("one", GenKnow=0.638 * 0.99), valid("two", InterIdSim=-0.4, RetFail_MRR=0.0008)])
    assert "catastrophic?" in shown and "over-generalised <0" in shown


def test_one_world_says_what_is_not_measured():
    assert "training seeds" in text([valid("one")])


def test_invalid_rows_stand_apart_with_their_reason_as_plain_text():
    reason = "[red]no markup[/red]"
    made = record("bad", status="crashed", reason=reason)
    bad = Row(Path("runs/x"), "mini", "bad", made, "crashed", reason)
    shown = text([valid("good"), bad])
    figures, _, apart = shown.partition("not ranked")
    assert "good" in figures and "bad" not in figures
    assert "[red]no markup[/red]" in apart and "traceback.txt" in apart


def test_no_runs_is_said():
    assert "There are no runs" in text([])


def test_lines_of_one_method_with_other_settings_are_told_apart():
    def run(**config):
        return MAKE.row("sweep", REFERENCES["compromised"], config={"lr": 0.1, **config})

    shown = text([run(k=32), run(k=48), valid("other")])
    assert "k=32" in shown and "k=48" in shown and "lr" not in shown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_more_figures_than_fit_are_in_further_tables_and_every_row_keeps_its_name(width):
    names = [(f"M{k}_A_long_figure", f"M{k}_B") for k in range(9)]
    known = columns([{f"M{k}": entry(f"M{k}", declaration(f"M{k}", columns=names[k])) for k in range(9)}])
    figures = {name: 0.25 for of_metric in names for name in of_metric}
    maker = Maker({"clean": figures, "compromised": figures}, noise=0)
    console = Console(width=width, record=True, color_system=None, force_terminal=False)
    with console.capture() as captured:
        found = compare(maker.results([maker.row("a-method", figures)]), known)
        console.print(render(table(found, known), width=width))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width and "…" not in shown
    tables = shown.count(": efficacy (")
    others = 4 if width < 98 else 2  # verdicts and places; on a narrow terminal modes and fronts stand by themselves
    assert tables > 1 and shown.count("│ Compromised ") == shown.count("│ a-method ") - others == tables
    assert shown.count("0.250") == 9 * 2 * 3
