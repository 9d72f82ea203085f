"""``salmu leaderboard``: the table's very figures, in Markdown that nothing from data can break."""

import re
import shlex
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
from leaderboards import HOSTILE, REFERENCES, ROWS, SHOWN, compared, no_result, read_csv, valid
from markdown_it import MarkdownIt
from studies import Maker
from typer.testing import CliRunner

from salmu_core.cli import app
from salmu_core.cli.leaderboard import leaderboard
from salmu_core.errors import UsageError
from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import MODES, Diagnosis, Evidence, Leak, Verdict
from salmu_core.judge.statistics import Interval
from salmu_core.show.columns import failure_modes
from salmu_core.show.markdown import markdown
from salmu_core.show.table import table
from salmu_core.show.terminal import styled
from salmu_core.show.words import modes

ALLOWED = {"blockquote", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code"}


def as_markdown(comparison, *texts):
    return markdown(table(comparison, SHOWN), *texts)


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
        judged = {mode: verdict for mode, verdict in zip(MODES[:3], verdicts, strict=True) if verdict}
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
