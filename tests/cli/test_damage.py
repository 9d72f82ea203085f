"""What is damaged is shown as such, said on standard error, and an exit code: of whatever shows results."""

import json
from pathlib import Path

import pytest
from stores import around, leak, write_reference, write_run
from typer.testing import CliRunner

from salmu_core.cli import app

COMMANDS = (("results",), ("results", "--full"), ("results", "--json"), ("leaderboard",))
RANKS = {"compromised": 2, "clean": 900, "delete": 700, "finetuning": 3}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs beside both references."""
    monkeypatch.chdir(tmp_path)

    def rows(name):
        return leak([RANKS[name] + row for row in range(80)]) | {"GenKnow": around(0.4)}

    for role in ("compromised", "clean"):
        write_reference(tmp_path / "runs", role, rows(role))
    return {name: write_run(tmp_path / "runs", name, rows(name)) for name in ("delete", "finetuning")}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def show(*words):
    """Of `salmu WORDS`: standard output, standard error on one line, and the exit code."""
    done = CliRunner().invoke(app, [*words, *(["--output", "runs"] if words[0] == "results" else ["runs"])])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.stdout, " ".join(done.stderr.split()), done.exit_code


def test_whole_results_are_no_damage(runs):
    for words in COMMANDS:
        _, said, code = show(*words)
        assert code == 0 and "Damaged" not in said, words


def test_a_metric_of_a_reference_that_has_no_value_is_shown(runs):
    rows = leak([900 + row for row in range(80)])
    write_reference(Path("runs"), "clean", rows, errors={"GenKnow": "ValueError: boom"})
    for words in COMMANDS[1::2]:
        assert "Clean, mini: no GenKnow: ValueError: boom" in " ".join(show(*words)[0].split()), words


@pytest.mark.parametrize("what", ["checkpoint", "rows", "record", "reference's rows", "reference's record"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_damage_is_said_and_counts_and_the_rest_is_shown(runs, what, command):
    run, reference = runs["delete"], runs["delete"].parents[2] / "_references" / "clean"
    files = {
        "checkpoint": run / "open_clip_model.safetensors",
        "rows": run / "per_row.parquet",
        "record": run / "run.json",
        "reference's rows": reference / "per_row.parquet",
        "reference's record": reference / "metrics.json",
    }
    file = files[what]
    file.write_bytes(file.read_bytes()[:-9]) if file.suffix == ".json" else flip(file)
    out, said, code = show(*command)
    assert code == 1 and "Damaged, and left out:" in said and str(file.relative_to(Path.cwd())) in said
    assert "finetuning" in out  # as much of the table as there is
    if command[-1] == "--json":
        assert {row["method"]: row["status"] for row in json.loads(out)["runs"]}["finetuning"] == "valid"


def test_report_and_plot_say_it_too(runs, tmp_path):
    pytest.importorskip("salmu_report")
    for words in (("report", "--out", "page.html"), ("plot", "--out", "pictures")):
        assert show(*words)[2] == 0
    flip(runs["delete"] / "open_clip_model.safetensors")
    for words in (("report", "--out", "page.html"), ("plot", "--out", "pictures")):
        _, said, code = show(*words)
        assert code == 1 and "Damaged, and left out" in said
    assert (tmp_path / "page.html").stat().st_size > 10_000 and [*(tmp_path / "pictures").iterdir()]
