"""Attacks as part of a study: on every run and both reference models, kept, judged, shown, and never made twice."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

METHODS = """
from salmu_core import MethodSpec, hookimpl
from salmu_core.testing.tiny import tiny_model

def exchange(ctx):
    with ctx.edit() as weights:
        weights["text_projection"].copy_(tiny_model("another text tower").text_projection)

@hookimpl
def salmu_methods():
    return [MethodSpec(name="exchange", summary="A test.", paper="https://example.org", unlearn=exchange)]
"""
ATTACKS = """
from pathlib import Path

from salmu_core import AttackSpec, NotMeasuredError, Query, Stage, TrainingConfig, hookimpl
from salmu_core.losses import contrastive_loss

FACTS = {"summary": "A test.", "paper": "https://example.org"}

class Few(TrainingConfig):
    k: int = 8

def put_back(ctx):
    Path("calls").open("a").write("x")
    for share in (0.5, 1.0):
        with ctx.edit() as weights:
            weights["text_projection"].lerp_(ctx.original.text_projection, share)
        yield Stage(f"{share} back", step=share, curve="back")

def relearn(ctx):
    ctx.fit(lambda c, step: contrastive_loss(c, step.leaked), steps=3)

def lack(ctx):
    Path("lacks").open("a").write("x")
    raise NotMeasuredError("of <i>nobody</i> there is a \\x1b[31mshoe size")

def ask(ctx):
    ctx.not_measured("runes", "no row is written so")
    captions = ctx.forget.captions
    return [Query(captions=captions[::-1], label="wrong"), Query(captions=captions, label="own")]

def fail(ctx):
    raise ValueError("of \\x1b[31mred\\x1b[0m <b>faults</b>")

@hookimpl
def salmu_attacks():
    return [
        AttackSpec(name="put-back", given=("original",), model=put_back, **FACTS),
        AttackSpec(name="relearn", given=("leaked",), model=relearn, config=Few.with_defaults(lr=1e-3),
                   leaked=lambda pairs, config, random: range(config.k), **FACTS),
        AttackSpec(name="ask", query=ask, **FACTS),
        AttackSpec(name="fail", query=fail, **FACTS),
        AttackSpec(name="lack", query=lack, **FACTS),
    ]
"""
STUDY = """
benchmark = "./data"
methods = ["exchange"]
budgets = [1]
seeds = [0, 1]
attacks = ["put-back", "ask", "fail", "lack", "relearn"]
[config]
relearn = [{ k = 4 }, { k = 8 }]
"""
RUN = ("run", "--config", "study.toml", "--processes", "1")


@pytest.fixture
def made(salmu, install, trained):
    install("exchange", METHODS)
    install("attacks", ATTACKS)
    shutil.copytree(trained / "data", salmu.folder / "data")
    (salmu.folder / "study.toml").write_text(STUDY)
    done = salmu(*RUN, "--json")
    assert done.returncode == 1 and "\x1b[31m" not in done.stderr, done.stderr  # an attack has no result
    return json.loads(done.stdout)


def values(folder, column):
    """File name -> person and value."""
    lines = pq.read_table(folder / "per_row.parquet").to_pylist()
    return {line["file_name"]: (line["identity_id"], line["value"]) for line in lines if line["column"] == column}


def test_attacks_of_a_study(made, salmu):
    (line,) = made["lines"]
    told = {each["label"]: each for each in line["attacks"]}
    assert set(told) == {"ask", "fail", "lack", "put-back", "relearn k=4", "relearn k=8"}

    back = told["put-back"]
    assert back["figure"] == "RetFail_MRR" and back["recovered"]["value"] == pytest.approx(1, abs=0.05)
    assert back["from_compromised"] == back["recovered"] and back["leaked"] == 0 and not back["weak"]
    assert back["before"]["value"] < 0.6 and back["median_rank"] == 1

    # Stages, as their rows have them.
    assert (back["query"], back["queries"]) == ("1.0 back", 2)
    results = salmu.folder / "runs" / made["benchmark"]
    tables = [
        pq.read_table(path).to_pylist() for path in (results / "exchange").rglob("attacks/put-back/*/per_row.parquet")
    ]
    for stage, step in zip(back["stages"], (0.5, 1.0), strict=True):
        assert (stage["label"], stage["curve"], stage["step"]) == (f"{step} back", "back", step)
        mine = [
            line["value"]
            for table in tables
            for line in table
            if (line["query"], line["column"]) == (stage["label"], "RetFail_MRR")
        ]
        assert stage["attacked"] == pytest.approx(np.mean(mine)) and len(mine) == 2 * 32
    assert stage["recovered"] == pytest.approx(back["recovered"]["value"]) and stage["clean"] < stage["compromised"]

    assert told["fail"]["recovered"] is None and told["fail"]["attacked"] is None
    assert any("fail on exchange" in note and "ValueError" in note for note in made["notes"])

    # What the benchmark has nothing for: no figure, no fault of anybody's, and one sentence.
    lack = told["lack"]
    assert lack["attacked"] is None and lack["verdict"] is None and lack["problems"] == []
    assert lack["not_measured"] == {"": "of <i>nobody</i> there is a \x1b[31mshoe size"}
    assert [note.split(":")[0] for note in made["notes"] if "lack" in note] == ["lack is not measured"]
    assert [note for note in made["notes"] if "runes" in note] == [
        "ask by runes is not measured: no row is written so."
    ]

    # As few lines of numpy have it, from the files alone.
    runs, references = sorted((results / "exchange").glob("*/b1-s*")), results / "_references"
    folders = [folder.relative_to(runs[0]) for folder in runs[0].glob("attacks/relearn/*")]
    assert len(runs) == 2 and len(folders) == 2
    for attack in folders:
        record = json.loads((runs[0] / attack / "attack.json").read_text())
        after = [values(run / attack, "RetFail_MRR") for run in (*runs, references / "clean")]
        before = [values(references / role, "RetFail_MRR") for role in ("compromised", "clean")]
        names = [*after[0]]
        k = record["config"]["k"]
        assert record["leaked"]["rows"] == k and len(names) == len(before[0]) - k
        a, b, clean, top, bottom = (np.mean([rows[name][1] for name in names]) for rows in (*after, *before))
        expected = ((a + b) / 2 - clean) / (top - bottom)
        each = told[f"relearn k={k}"]
        assert each["recovered"]["value"] == pytest.approx(expected)
        assert each["recovered"]["low"] < expected < each["recovered"]["high"]
        assert each["added_to_clean"]["value"] == pytest.approx(clean - bottom)
        ranks = [value for run in runs for _, value in values(run / attack, "rank").values()]
        assert each["median_rank"] == np.median(ranks)

    # Asked as it was, a run has what it had; asked for somebody else's captions, less.
    asked = told["ask"]
    assert (asked["query"], asked["queries"]) == ("own", 2)
    assert asked["recovered"] == pytest.approx(asked["before"]) and asked["gained"]["value"] == pytest.approx(0)

    checked = salmu("verify")
    assert checked.returncode == 0, checked.stdout  # also where the query that counts is not the first

    record = json.loads(next(references.glob("clean/attacks/ask/*/attack.json")).read_text())
    assert record["not_measured"] == {"runes": "no row is written so"}

    # Nothing is made twice, and what is missing is made alone.
    calls = salmu.folder / "calls"
    assert len(calls.read_text()) == 4  # two runs, Compromised, Clean
    again = salmu(*RUN)
    assert "Nothing to do: all 2 runs are finished" in again.stderr + again.stdout
    assert (salmu.folder / "lacks").read_text() == "x" * 4 and again.returncode == 1  # for the one that fails
    assert salmu(*RUN, "--attack", "lack").returncode == 0
    shutil.rmtree(references / "clean/attacks/put-back")
    assert salmu(*RUN, "--attack", "put-back").returncode == 0 and len(calls.read_text()) == 5
    assert salmu(*RUN, "--attack", "put-back", "--redo").returncode == 0 and len(calls.read_text()) == 9


def test_what_attacks_bring_is_shown_everywhere_as_text(made, salmu):
    screen = salmu("results")
    said = " ".join(screen.stdout.split())
    assert "attacks bring back at most:" in said and "result: on 1 line" in said
    assert "put-back" not in said  # it holds the original
    assert len(screen.stdout.splitlines()) < 24
    full = salmu("results", "--full").stdout
    assert "what attacks bring back" in full and "101%" in full and "no result" in full
    assert "not measured" in full and "lack is not measured" in " ".join(full.split())
    assert "\\x1b[31mred" in full and "\x1b[31m" not in full
    markdown = salmu("leaderboard").stdout
    assert "what attacks bring back" in markdown and "&lt;b&gt;faults" in markdown and "<b>" not in markdown
    assert "not measured" in markdown and "&lt;i&gt;nobody" in markdown
    header, *rows = salmu("leaderboard", "--format", "csv").stdout.splitlines()
    names = header.split(",")
    assert "attacks.put-back.RetFail_MRR.recovered.value" in names
    line = next(row for row in rows if row.startswith("valid"))
    assert float(line.split(",")[names.index("attacks.put-back.RetFail_MRR.recovered.value")]) == pytest.approx(
        1, abs=0.05
    )
    assert salmu("report", "--out", "page.html").returncode == 0
    page = re.sub("<script>.*?</script>", "", (salmu.folder / "page.html").read_text(), flags=re.DOTALL)
    assert "What attacks bring back" in page and "put-back" in page and "<b>faults" not in page
    assert "lack is not measured: of &lt;i&gt;nobody" in page and "<i>nobody" not in page
