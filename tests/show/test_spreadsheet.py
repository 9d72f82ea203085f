"""``salmu leaderboard --format csv``: every figure in full, and nothing that a spreadsheet would run."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from leaderboards import ROWS, SHOWN, as_csv, compared, no_result, read_csv, valid

from salmu_core.judge.diagnosis import MODES
from salmu_core.judge.tails import TAILS


def test_every_figure_is_there_in_full(found, worlds):
    for comparison in (found, worlds):
        rows = [row for row in read_csv(as_csv(comparison)) if row["status"] == "valid"]
        assert len(rows) == len(comparison.lines)
        for row, told in zip(rows, comparison.as_json()["lines"], strict=True):
            assert (row["method"], row["label"], float(row["budget"])) == (
                told["method"],
                told["label"],
                told["budget"],
            )
            assert row["runs"] == str(len(told["runs"])) and row["needs"] == told["needs"]
            assert row["seeds"].split() == [str(s) for s in sorted({seed for _, seed in told["runs"]})]
            for name, figure in told["figures"].items():
                for what in ("value", "low", "high", "p", "margin"):
                    assert same(row[f"{name}.{what}"], figure[what]), (name, what)
                for what in ("value", "low", "high"):
                    cell = row[f"{name}.difference" + (f"_{what}" if what != "value" else "")]
                    assert same(cell, figure["difference"][what])
                assert row[f"{name}.equivalent"] == json.dumps(figure["equivalent"]).replace("null", "")
                assert row[f"{name}.in_sample"] == "false"
            for name in ("leakage_reduction", "knowledge_change"):
                assert all(same(row[f"{name}.{end}"], value) for end, value in told[name].items())
            for name, kept in told["holdout_retention"].items():
                assert all(same(row[f"holdout_retention.{name}.{end}"], value) for end, value in kept.items())
            modes = {mode: row[f"failure_modes.{mode}"] for mode in ("ineffective", "catastrophic", "over-generalised")}
            assert modes == {mode: told["failure_modes"].get(mode, "") for mode in modes}
            for name in ("leak", "knowledge", "holdouts"):
                assert [row[f"places.{name}.first"], row[f"places.{name}.last"]] == [*map(str, told["places"][name])]
            assert (row["fronts.knowledge"], row["fronts.holdouts"]) == (
                told["fronts"]["knowledge"],
                told["fronts"]["holdouts"],
            )
            assert row["unlike_clean"] == (told["unlike_clean"] or "")
            assert row["worse_than_never_seen"] == str(told["worse_than_never_seen"]).lower()


def same(cell, value):
    """Whether reading a cell gives the same bits."""
    return cell == "" if value is None else float(cell) == value


def test_the_columns_do_not_depend_on_the_runs(found, worlds):
    headers = {as_csv(comparison).partition("\r\n")[0] for comparison in (found, worlds, compared([]))}
    (header,) = headers
    names = header.split(",")
    assert len(names) == len(set(names)) and names[0] == "status"
    assert all(f"{column.name}.value" in names for column in SHOWN)
    assert all(f"tails.{tail}.value" in names for tail in TAILS)
    primary = [names.index(f"{column.name}.value") for column in SHOWN if column.primary]
    assert max(primary) < names.index("failure_modes.ineffective") < names.index("AssocStr.value")


def test_the_documentation_has_every_column_and_no_other(found):
    page = (Path(__file__).parents[2] / "docs" / "leaderboard.md").read_text().partition("### CSV")[2]
    listed = page.partition("| column | |\n")[2].partition("\n\n")[0]
    documented = {name for row in listed.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    words = {"FIGURE": "|".join(column.name for column in SHOWN), "MODE": "|".join(MODES)}
    words |= {"AIM": "leak|knowledge|holdouts", "NAME": "|".join(map(re.escape, TAILS))}
    patterns = {re.sub("[A-Z]{3,}", lambda m: f"({words[m[0]]})", name.replace(".", "[.]")) for name in documented}
    header = next(csv.reader(io.StringIO(as_csv(found))))
    assert all(any(re.fullmatch(pattern, name) for pattern in patterns) for name in header)
    assert all(any(re.fullmatch(pattern, name) for name in header) for pattern in patterns)


def test_references_come_first_and_failures_last(found):
    rows = read_csv(as_csv(found))
    assert [row["status"] for row in rows] == ["reference", "reference", "valid", "valid", "valid", "crashed"]
    assert [row["method"] for row in rows[:2]] == ["compromised", "clean"]
    assert float(rows[1]["AssocStr.value"]) == found.references["clean"]["AssocStr"].value.value
    last = rows[-1]
    assert (last["method"], last["reason"], last["budget"], last["seeds"]) == ("bad", "it fell", "5.0", "0")
    assert last["RetFail_MRR.value"] == ""


def test_tails_and_what_is_not_known_in_csv():
    row = replace(ROWS[0], tails={"worst_5%": 0.25}, errors={"ACS": "no probe"})
    (line,) = [r for r in read_csv(as_csv(compared([row]))) if r["status"] == "valid"]
    assert (line["tails.worst_5%.value"], line["tails.worst_5%.low"], line["tails.worst_1%.value"]) == ("0.25", "", "")
    assert line["reason"].endswith("no ACS: no probe")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_is_a_formula(sign):
    reason = f'{sign}HYPERLINK("https://e.example","x"),1\r\nsecond "line"'
    text = as_csv(compared([valid("one"), no_result(f"{sign}cmd|' /C calc'!A0", reason)]))
    row = read_csv(text)[-1]
    assert row["reason"] == f"'{reason}" and row["method"] == f"'{sign}cmd|' /C calc'!A0"


def test_a_negative_number_is_no_text(found):
    values = [row["InterIdSim.value"] for row in read_csv(as_csv(found))]
    assert any(value.startswith("-") and float(value) == pytest.approx(-0.4) for value in values)


def test_lines_end_as_rfc_4180_has_it(found):
    text = as_csv(found)
    assert text.count("\r\n") == text.count("\n") == 1 + 2 + len(found.lines) + 1
