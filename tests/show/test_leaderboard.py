"""``salmu leaderboard``: the table's very figures, in Markdown and CSV that nothing from data can break."""

import csv
import io
import json
import re
import shlex
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from entries import shown
from markdown_it import MarkdownIt
from stores import around, leak, write_reference, write_run
from studies import Maker, record
from typer.testing import CliRunner

from salmu_core.cli import app
from salmu_core.cli.leaderboard import leaderboard
from salmu_core.errors import UsageError
from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import MODES, Diagnosis, Evidence, Leak, Verdict
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Interval
from salmu_core.judge.tails import TAILS
from salmu_core.show.columns import failure_modes
from salmu_core.show.markdown import markdown
from salmu_core.show.spreadsheet import spreadsheet
from salmu_core.show.table import table
from salmu_core.show.terminal import styled
from salmu_core.show.words import modes

SHOWN = shown()
REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "published.json").read_text())["metrics"]
MAKE = Maker(REFERENCES)
HOSTILE = "<script>alert(1)</script> | `x` **b** [l](https://e.example) ![i](u) &lt; $m$ \\| ~~s~~ <!-- -->"

ALLOWED = {"blockquote", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code"}


def valid(method, world=0, seed=0, budget=5.0, config=None, **changes):
    means = {**REFERENCES["compromised"], **changes}
    return MAKE.row(method, means, world, seed, budget, config=config, spread=0.01 * (world > 0))


def no_result(method, reason, status="crashed"):
    return Row(Path("runs/x"), "mini", method, record(method, status="crashed"), status, reason)


def compared(rows, worlds=1, spread=0.0):
    return compare(MAKE.results(rows, worlds, spread), SHOWN)


def as_markdown(comparison, *texts):
    return markdown(table(comparison, SHOWN), *texts)


def as_csv(comparison):
    return spreadsheet(table(comparison, SHOWN))


ROWS = [
    valid("finetuning"),
    valid("delete", RetFail_MRR=0.0008, InterIdSim=-0.4, IntraIdSim=-0.4),
    valid("delete", budget=1.0, RetFail_MRR=0.1),
    no_result("bad", "it fell"),
]


@pytest.fixture(scope="module")
def found():
    return compared(ROWS)


@pytest.fixture(scope="module")
def worlds():
    """Three worlds and two seeds."""
    rows = [
        MAKE.row(method, {**REFERENCES["compromised"], **changes}, world, seed, spread=0.004)
        for method, changes in (("at-target", {}), ("off-target", {"AssocStr": 0.9, "GenKnow": 0.2}))
        for world in range(3)
        for seed in range(2)
    ]
    return compared(rows, 3, 0.004)


def read_tables(text):
    """Title -> rows of cell texts, as a Markdown parser has them; and the HTML it would make."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tables, title, rows = {}, "", []
    for token in parser.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            tables[title.partition(": ")[2]], rows = rows, []
        elif token.type == "inline":
            content = "".join(child.content for child in token.children)
            if token.level and rows:
                rows[-1].append(content.replace("\u00a0", " "))
            else:
                title = content
    return tables, parser.render(text)


def by_name(rows):
    """Method and budget -> header -> cell."""
    header, *body = rows
    return {(row[0], row[1]): dict(zip(header, row, strict=True)) for row in body}


# Markdown


def test_the_tables_are_the_lines_of_the_comparison(found):
    tables, _ = read_tables(as_markdown(found))
    primary = by_name(tables["primary figures and verdicts"])
    assert [*primary][:2] == [("Compromised", ""), ("Clean", "")]
    assert [*primary][2:] == [(line.label, f"{line.budget:g}") for line in found.lines]
    shown = {}
    for rows in tables.values():
        for key, cells in by_name(rows).items():
            shown.setdefault(key, {}).update(cells)
    for line in found.lines:
        cells = shown[line.label, f"{line.budget:g}"]
        assert set(REFERENCES["clean"]) <= set(cells)
        for name, figure in line.figures.items():
            digits = 4 if 0 < abs(figure.value.value) < 0.01 else 3
            half = max(figure.value.high - figure.value.value, figure.value.value - figure.value.low)
            assert cells[name].startswith(f"{figure.value.value:.{digits}f}"), name
            beside = f"{half:.{digits}f}".removeprefix("0")
            if not beside.strip(".0"):  # too short for these digits, or nothing
                beside = f"<{beside[:-1]}1" if half else "0"
            assert cells[name].endswith(f"± {beside}"), name
            assert ("*" in cells[name]) == figure.missed
        known = line.diagnosis.evidence
        assert cells["leak gone"].startswith(f"{known.reduction.value:.1%} ± ")
        assert cells["GenKnow change"].startswith(f"{known.knowledge.value:+.1%} ± ")
        least = min(known.retention[name].value for name in ("InterIdSim", "IntraIdSim"))
        assert cells["cosine kept"].startswith(f"{least:.0%} ± ")
        assert (
            cells["front: GenKnow"] == line.fronts["knowledge"]
            and cells["data needed"] == "weights only"
            and cells["runs"] == "1"
        )
        first, last = line.places["knowledge"]
        assert cells["GenKnow kept"] == (f"{first}" if first == last else f"{first} - {last}")
    clean = found.references["clean"]["RetFail_MRR"].value.value
    assert shown["Clean", ""]["RetFail_MRR"].startswith(f"{clean:.4f} ± ")


def test_primary_figures_and_verdicts_come_first(found):
    tables, _ = read_tables(as_markdown(found))
    assert next(iter(tables.values()))[0] == [
        *("method", "budget", "runs", "RetFail_MRR", "RetFail_R@1", "GenKnow", "failure modes"),
    ]


@pytest.mark.parametrize("unlike", [Verdict.CLEAR, Verdict.HOLDS])
@pytest.mark.parametrize("worse", [False, True])
def test_verdicts_are_in_the_words_of_the_terminal(unlike, worse):
    evidence = Evidence({"x": Leak(Interval(0.995, 0.993, 0.997), 0.99, unlike)}, {"y": Interval(0, 0, 0)})
    leak = [Verdict.HOLDS] if unlike is Verdict.HOLDS else [None, *Verdict]
    kept = [Verdict.HOLDS] if worse else [None, *Verdict]
    seen = set()
    for verdicts in product(leak, [None, *Verdict], kept):
        judged = {mode: verdict for mode, verdict in zip(MODES, verdicts, strict=True) if verdict}
        diagnosis = Diagnosis(evidence, judged, worse)
        words = modes(diagnosis)
        cell = failure_modes().line(SimpleNamespace(diagnosis=diagnosis))
        assert words == cell.text == styled(cell).plain.replace("\n", ", ")
        assert ("<0" in words) == worse and ("≠Clean" in words) == (unlike is Verdict.HOLDS)
        seen.add(words)
    assert len(seen) == len(leak) * len(kept) * 4


def test_marks_say_what_is_shown_over_worlds(worlds):
    text = as_markdown(worlds)
    cells = by_name(read_tables(text)[0]["other figures of efficacy (target: Clean)"])
    assert worlds.lines[0].worlds == 3 and "over 3 worlds" in text
    line = next(line for line in worlds.lines if line.label == "off-target")
    assert line.figures["AssocStr"].missed and "*" in cells["off-target", "5"]["AssocStr"]
    utility = by_name(read_tables(text)[0]["other figures of utility (target: Compromised)"])
    same = next(line for line in worlds.lines if line.label == "at-target")
    equivalent = {name for name in utility["at-target", "5"] if name in same.figures and same.figures[name].equivalent}
    assert equivalent == {name for name, cell in utility["at-target", "5"].items() if "≈" in cell} != set()


def test_the_target_is_bold(found):
    targets, header, seen = {column.name: column.target for column in SHOWN}, [], 0
    for line in as_markdown(found).splitlines():
        cells = [cell.replace("\\_", "_") for cell in line.strip("| ").split(" | ")]
        header = cells if cells[0] == "method" else header
        if cells[0] in ("Clean", "Compromised"):
            for name, cell in zip(header, cells, strict=False):
                if name in targets and cell:
                    assert cell.startswith("**") == (targets[name] == cells[0].lower()), (name, cell)
                    seen += 1
    assert seen == 2 * len(REFERENCES["clean"])


def test_holdouts_by_rank_are_there_where_they_are_measured():
    rest = "what the verdicts rest on, and what it took"
    assert "rank kept" not in read_tables(as_markdown(compared(ROWS)))[0][rest][0]
    known = {name: {**REFERENCES[name], "InterIdRet": leak} for name, leak in (("clean", 0.1), ("compromised", 0.5))}
    maker = Maker(known)
    found = compare(maker.results([maker.row("one", {**known["compromised"], "InterIdRet": 0.2})]), SHOWN)
    assert by_name(read_tables(as_markdown(found))[0][rest])["one", "5"]["rank kept"].startswith("25% ± ")


def test_what_was_trained_on_is_marked_and_explained(found):
    line = replace(found.lines[0], in_sample=frozenset({"FragSim"}))
    text = as_markdown(replace(found, lines=[line]))
    cells = by_name(read_tables(text)[0]["other figures of utility (target: Compromised)"])
    assert cells[line.label, "5" if line.budget == 5 else "1"]["FragSim"].endswith("°")
    assert "°: looks at pairs" in text and "°" not in as_markdown(found)


def test_the_caption_says_what_it_is_of(found):
    text = as_markdown(found, "A miniature.", "salmu leaderboard runs")
    assert text.startswith("> A miniature.") and text.endswith("Made by `salmu leaderboard runs`.\n")
    assert "95% interval, over the people of one world." in text
    assert all(note.split(":")[0] in text for note in found.notes) and found.notes


def test_no_result_stands_apart_with_its_reason(found):
    tables, _ = read_tables(as_markdown(found))
    assert tables["no result, not ranked"][1:] == [["bad", "mini", "5", "0", "crashed", "it fell"]]
    assert not any(("bad", "5") in by_name(rows) for title, rows in tables.items() if "no result" not in title)


def test_a_folder_of_failures_is_only_that():
    text = as_markdown(compared([no_result("bad", "it fell")]))
    assert [*read_tables(text)[0]] == ["no result, not ranked"]
    assert "There are no runs." in as_markdown(compared([]))


def test_a_metric_that_failed_is_named():
    row = replace(ROWS[0], errors={"ACS": "no <probe>"})
    assert "no ACS: no &lt;probe&gt;" in as_markdown(compared([row]))


def test_nothing_from_data_breaks_the_markdown():
    config = {"prompt": f"{HOSTILE}\n\n# heading\n- item", "k": 1}
    rows = [
        valid("one", config={"prompt": "plain", "k": 1}),
        valid("one", config=config),
        no_result(HOSTILE, f"# {HOSTILE}\nsecond line"),
        no_result("1.", "- item"),
        replace(ROWS[0], errors={"ACS": HOSTILE}),
    ]
    found = compared(rows)
    text = as_markdown(found, f"{HOSTILE}\n# notice", f"salmu leaderboard '`{HOSTILE}``'")
    tables, html = read_tables(text)
    labels = {line.label for line in found.lines}
    assert any("<script>" in label for label in labels)
    for title, cells in tables.items():
        assert len({len(row) for row in cells}) == 1, title
    body = tables["primary figures and verdicts"][3:]
    assert {row[0] for row in body} == {" ".join(label.split()) for label in labels}
    apart = tables["no result, not ranked"][1:]
    assert [row[0] for row in apart] == [HOSTILE, "1."]
    assert [row[5] for row in apart] == [f"# {HOSTILE} second line", "- item"]
    assert set(re.findall(r"<(\w+)", html)) <= ALLOWED
    assert html.count("<blockquote>") == 1 and "<code>" in html


def test_nothing_is_one_score(found):
    tables, _ = read_tables(as_markdown(found))
    headers = {cell.lower() for rows in tables.values() for cell in rows[0]}
    assert not headers & {"score", "rank", "total", "overall"}


# CSV


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


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


# The command


@pytest.fixture
def runs(tmp_path):
    """A results folder with a run and both reference models."""
    root = tmp_path / "my runs"
    means = {"GenKnow": 0.8, "InterIdSim": 0.5, "IntraIdSim": 0.5, "AssocStr": 0.4}
    for role, ranks in (("clean", [400] * 80), ("compromised", [*range(1, 81)])):
        write_reference(root, role, {**leak(ranks), **{name: around(mean, 1) for name, mean in means.items()}})
    write_run(root, "one", {**leak([90] * 80), **{name: around(mean, 2) for name, mean in means.items()}})
    return root


def test_the_command_it_names_makes_it_again(runs):
    runner = CliRunner()
    done = runner.invoke(app, ["leaderboard", str(runs)])
    assert done.exit_code == 0, done.output
    (command,) = re.findall(r"Made by `(.*)`\.", done.stdout)
    program, *words = shlex.split(command)
    assert program == "salmu" and runner.invoke(app, words).stdout == done.stdout
    assert by_name(read_tables(done.stdout)[0]["primary figures and verdicts"])["one", "5"]["runs"] == "1"


def test_a_file_is_written_as_it_is_printed(runs, tmp_path, capsys):
    out = tmp_path / "new" / "board.csv"
    leaderboard(runs, "csv", None, None, [])
    printed = capsys.readouterr()
    assert "One world" in printed.err and "One world" not in printed.out
    leaderboard(runs, None, out, "mini", ["0"])
    assert out.read_bytes().decode() == printed.out
    assert str(out) in capsys.readouterr().out
    leaderboard(runs, None, tmp_path / "board", None, [])
    assert (tmp_path / "board").read_text().startswith("> ")
    assert [row["method"] for row in read_csv(printed.out)] == ["compromised", "clean", "one"]


def test_mistakes_are_sentences(runs, tmp_path):
    with pytest.raises(UsageError, match="no format 'markdown'"):
        leaderboard(runs, "markdown", None, None, [])
    with pytest.raises(UsageError, match="is a folder"):
        leaderboard(runs, "md", tmp_path, None, [])
    with pytest.raises(UsageError, match="no results of salmubench"):
        leaderboard(runs, "md", None, "salmubench", [])
