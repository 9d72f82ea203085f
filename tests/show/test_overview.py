"""The first screen: one table a newcomer can read, in thirty lines, plain when piped, safe whatever the data say."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from attacked_models import beside_attacked, spread
from entries import shown
from rich.console import Console
from studies import Maker, record

from salmu_core.cli.reading import commands
from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import MODES
from salmu_core.judge.results import Row
from salmu_core.show.overview import render
from salmu_core.show.table import table
from salmu_core.store.folders import RUN, Store, write_record

FIGURES = shown()
REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "published.json").read_text())["metrics"]
MAKE = Maker(REFERENCES)
COMMANDS = ("salmu results --full", "salmu report")
NOTICE = "An invented miniature: its figures show directions."
ERASES = {"RetFail_MRR": 0.0008, "RetFail_R@1": 0.0}
WRECKS = {"GenKnow": 0.1}
OVERDOES = {"InterIdSim": 0.0, "IntraIdSim": 0.0}
HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]x[/bold] [/] \u202egnp.exe \x9b2J\nnext \r over"


def valid(method, *changes, world=0, seed=0, budget=5.0, config=None):
    means = dict(REFERENCES["compromised"])
    for change in changes:
        means |= change
    return MAKE.row(method, means, world, seed, budget, config=config, spread=0.004 * (world > 0))


def failed(method, reason="RuntimeError: it fell", status="crashed", seed=0, budget=5.0):
    return Row(Path("runs/x"), "mini", method, record(method, budget, seed, status="crashed"), status, reason)


NINE = [
    valid("nothing"),
    valid("perfect-one", ERASES),
    valid("wrecks-it-all", ERASES, WRECKS, OVERDOES),
    valid("overdoes", ERASES, OVERDOES),
    valid("overdoes-too", ERASES, OVERDOES, {"RetFail_MRR": 0.0007}),
    valid("wrecks", ERASES, WRECKS),
    valid("half", {"RetFail_MRR": 0.1}),
    valid("fails-in-all", WRECKS, OVERDOES),
    valid("descent-to-delete", WRECKS),
]


def compared(rows, worlds=1):
    return compare(MAKE.results(rows, worlds, 0.004 * (worlds > 1)), FIGURES)


@cache
def nine(failures=0):
    """The nine beside runs that failed, compared once."""
    return compared(
        [*NINE, *(failed(f"bad-{n}", f"it fell. {'Then it went on. ' * 9}", seed=n) for n in range(failures))]
    )


def screen(comparison, width=100, notice=NOTICE, **how):
    console = Console(width=width, **{"color_system": None, "force_terminal": False, **how})
    with console.capture() as captured:
        console.print(render(table(comparison, FIGURES), notice, width, COMMANDS), crop=False)
    return captured.get()


def labels(text, comparison):
    """Labels of lines in the order of their rows."""
    known = {line.label for line in comparison.lines}
    return [
        label for row in text.splitlines() for label in known if re.match(rf"{re.escape(label)}\s+(\d+ +)?-?\d", row)
    ]


def test_nine_methods_stand_in_thirty_lines_with_all_that_counts():
    comparison = nine()
    text = screen(comparison)
    assert len(text.splitlines()) <= 30 and max(map(len, text.splitlines())) <= 100
    assert sorted(labels(text, comparison)) == sorted(row.method for row in NINE)
    assert NOTICE in text and "mini: 9 methods, budget 5, 1 world, 1 seed." in text
    assert re.search(r"^Compromised +0\.0% \(MRR .*\) +0\.0% .* 100%", text, re.MULTILINE)
    assert re.search(r"^Clean +\d\d\.\d% \(MRR .*\) .* 0%", text, re.MULTILINE)
    assert ">= 99%" in text and ">= -1%" in text and ">= 90%" in text
    assert f"{len(comparison.notes)} notes: salmu results --full; as a page: salmu report" in text.splitlines()[-1]


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("failures", [0, 1, 9, 40])
def test_failed_runs_fit_too_and_none_is_passed_over(width, failures):
    text = screen(nine(failures), width)
    assert max(map(len, text.splitlines())) <= width and (width < 100 or len(text.splitlines()) <= 30)
    shown = len(re.findall(r"^bad-\d+ +crashed at budget 5: it fell\. .*\.\.\.$", text, re.MULTILINE))
    more = re.search(r"and (\d+) runs? more without a result", text)
    assert shown + (int(more[1]) if more else 0) == failures and (shown == failures or shown >= 4)


def test_runs_that_failed_alike_share_a_row():
    text = screen(compared([valid("one"), *(failed("bad", f"seed {n}", seed=n) for n in range(3)), failed("worse")]))
    assert re.search(r"^bad +crashed x3 at budget 5: seed 0$", text, re.MULTILINE)
    assert re.search(r"^worse +crashed at budget 5: RuntimeError: it fell$", text, re.MULTILINE)


def test_each_figure_names_the_failure_mode_it_shows():
    comparison = nine()
    rows = {label: row for row in screen(comparison).splitlines() for label in labels(row, comparison)}
    for line in comparison.lines:
        said = {word.rstrip("?"): word.endswith("?") for word in rows[line.label].split() if word.rstrip("?") in MODES}
        remarks = {mode: verdict == "open" for mode, verdict, _ in line.diagnosis.remarks() if verdict}
        assert said == remarks, line.label
        evidence = line.diagnosis.evidence
        figures = re.findall(r"(-?\+?[\d.]+)%", rows[line.label])
        least = min(kept.value for kept in evidence.retention.values())
        assert figures == [
            f"{evidence.reduction.value:.1%}"[:-1],
            f"{evidence.knowledge.value:+.1%}"[:-1],
            f"{least:.0%}"[:-1],
        ]
    assert not re.search("|".join(MODES), rows["perfect-one"])


@pytest.mark.parametrize("width", [80, 100, 140])
def test_where_attacks_were_made_the_share_they_bring_stands_beside_the_rest(width):
    back = {"nothing": 0.8, "perfect-one": 0.4, "half": 0.0, "overdoes": None}
    rows = [
        replace(row, attacks=spread(0.1, 0.1 + back[row.method]) if back[row.method] is not None else {})
        for row in NINE
        if row.method in back
    ]
    comparison = compare(beside_attacked(MAKE.results(rows)), FIGURES)
    text = screen(comparison, width)
    assert max(map(len, text.splitlines())) <= width and "recovered" in text and "<= 1%" in text
    told = {label: row for row in text.splitlines() for label in labels(row, comparison)}
    mark = (" recoverable", " not judged") if "names the failure mode" in " ".join(text.split()) else ("!", "")
    said = {label: row.rstrip() for label, row in told.items()}
    assert said["perfect-one"].endswith(f"50%{mark[0]}") and said["nothing"].endswith(f"100%{mark[0]}")
    assert said["half"].endswith("0%") and said["overdoes"].endswith(f"-{mark[1]}")
    assert "recovered" not in screen(nine(), width)


def test_where_remarks_do_not_fit_signs_say_the_same():
    comparison = nine()
    wide, narrow = screen(comparison, 100), screen(comparison, 64)
    assert max(map(len, narrow.splitlines()[:-1])) <= 64
    assert "is marked ! (from left to right: ineffective, catastrophic, over-generalised)" in " ".join(narrow.split())

    def verdicts(text, bad, unsure):
        rows = [row for row in text.splitlines() if labels(row, comparison)]
        return [(len(re.findall(bad, row)), len(re.findall(unsure, row))) for row in rows]

    modes = "|".join(MODES)
    assert verdicts(narrow, "%!", r"%\?") == verdicts(wide, rf"(?:{modes})(?!\?)", rf"(?:{modes})\?")


def test_the_best_stand_first():
    """Against a sort by hand of what the rows themselves say."""
    rows = [replace(row, method=row.method) for row in NINE] + [
        valid("nothing", {"RetFail_MRR": 0.2}, budget=1.0),
        valid("perfect-one", ERASES, budget=1.0),
    ]
    comparison = compared(rows)
    told = [row for row in screen(comparison).splitlines() if labels(row, comparison)]

    def goodness(row):
        budget = float(re.match(r"\S+ +(\d+)", row)[1])
        failures = [word for word in row.split() if word in MODES]
        unsure = [word for word in row.split() if word.rstrip("?") in MODES and word.endswith("?")]
        return budget, len(failures), len(unsure), -float(re.search(r"([\d.]+)%", row)[1])

    assert len(told) == 11 and told == sorted(told, key=goodness)
    assert labels(told[0], comparison) == ["perfect-one"]


def test_a_line_is_a_row_whatever_it_is_the_mean_of():
    rows = [
        valid("sweep", ERASES, world=world, seed=seed, budget=budget, config={"lr": lr})
        for lr in (0.1, 0.2)
        for budget in (1.0, 5.0)
        for world in range(3)
        for seed in range(2)
    ]
    comparison = compared(rows, 3)
    text = screen(comparison)
    assert "1 method, budgets 1 and 5, 3 worlds, 2 seeds." in text
    assert (
        len(labels(text, comparison)) == len(comparison.lines) == 4 and "runs" not in text.partition("Compromised")[0]
    )
    uneven = compared(rows[:-1], 3)
    assert re.search(r"^sweep lr=0.2 +5 +5 ", screen(uneven), re.MULTILINE)


def test_it_is_ascii_without_escapes_when_piped_and_coloured_on_a_terminal():
    comparison = compared([*NINE, failed("bad")])
    plain = screen(comparison)
    assert plain.isascii() and "\x1b" not in plain
    assert "\x1b[" in screen(comparison, color_system="standard", force_terminal=True, no_color=False)


@pytest.mark.parametrize("width", [60, 100])
def test_nothing_in_the_data_reaches_the_terminal_but_as_text(width):
    config = {"note": HOSTILE, "k": 1}
    rows = [
        valid("one", config=config),
        valid("one", config={"note": "plain", "k": 1}),
        failed(f"bad {HOSTILE}", HOSTILE),
    ]
    text = screen(compared(rows), width, HOSTILE)
    assert all(character.isprintable() or character == "\n" for character in text)
    joined = "".join(text.split())
    assert "\\x1b[31mred" in joined and "[bold]x[/bold]" in joined and "\\u202egnp.exe" in joined


def test_what_is_not_there_is_said():
    assert "There are no runs." in screen(compared([]))
    only = screen(compared([failed("bad")]))
    assert re.search(r"^bad +crashed at budget 5: RuntimeError: it fell$", only, re.MULTILINE)
    row = replace(NINE[0], errors={"ACS": "no probe"})
    assert "1 metric without a value: salmu results --full" in screen(compared([row]))
    results = replace(MAKE.results([row]), problems=["Clean of mini is left out: it is damaged"])
    assert "\nClean of mini is left out: it is damaged\n" in screen(compare(results, FIGURES))


def test_the_commands_it_names_are_about_the_same_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for root, worlds in (("runs", ("mini", "mini@1")), ("my runs", ("mini", "other"))):
        for world in worlds:
            write_record(tmp_path / root / world / "one" / "0" / "b5-s0" / RUN, record("one"))
    assert commands(Store(Path("runs")), "mini") == COMMANDS
    whole, page = commands(Store(Path("my runs")), "mini", ["0-1"])
    assert whole == "salmu results --full --output 'my runs' --benchmark mini --world 0-1"
    assert page == "salmu report 'my runs' --benchmark mini --world 0-1"
