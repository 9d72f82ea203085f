"""A forked command does what a fresh interpreter does."""

import json
import os
import subprocess

import psutil
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="every command is a fresh interpreter here")

TELLS = """
import json, os, random, signal, subprocess, sys
import typer

app = typer.Typer(help="Tells of its process.")

@app.callback()
def tell() -> None:
    pass

@app.command()
def all() -> None:
    import numpy as np
    import torch

    main = sys.modules["__main__"]
    print(json.dumps({
        "argv": sys.argv, "main": [main.__name__, main.__package__, main.__file__, main.__spec__.name],
        "path": sys.path, "folder": os.getcwd(), "bytecode": sys.dont_write_bytecode,
        "environment": dict(os.environ), "C": subprocess.check_output("env", env=None, text=True).splitlines(),
        "signals": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)],
        "input": sys.stdin.read(), "terminal": [sys.stdout.isatty(), sys.stderr.isatty()],
        "encoding": [sys.stdout.encoding, sys.stderr.errors], "files": sorted(os.listdir("/proc/self/fd")),
        "threads": torch.get_num_threads(), "priority": os.nice(0),
    }))
    drawn = [random.random(), np.random.random(), torch.rand(()).item()]
    print(json.dumps({"drawn": drawn, "process": os.getpid(), "parent": os.getppid()}))

@app.command()
def order() -> None:
    print(hash("a string"))

@app.command()
def fall() -> None:
    raise RuntimeError("nobody catches this")

@app.command()
def leave(word: str) -> None:
    import atexit
    atexit.register(print, "last words")
    sys.exit(None if word == "None" else int(word) if word.isdecimal() else word)

@app.command()
def wait() -> None:
    subprocess.run(["sleep", "97532"])
"""


@pytest.fixture
def tells(site):
    """Commands of a plugin, which tell of their process."""
    (site / "test_plugin_tells.py").write_text(TELLS)
    info = site / "tells-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tells\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[salmu.commands]\ntells = test_plugin_tells:app\n")


def both(salmu, *words):
    forked, fresh = salmu(*words), salmu(*words, fresh=True)
    assert forked.returncode == fresh.returncode and forked.args == fresh.args
    return forked, fresh


def test_a_process_is_told_the_same(salmu, tells, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere/one:/nowhere/two")
    forked, fresh = (list(map(json.loads, done.stdout.splitlines())) for done in both(salmu, "tells", "all"))
    assert forked[0] == fresh[0] and forked[0]["argv"][1:] == ["tells", "all"]
    assert fresh[1]["parent"] == os.getpid() != forked[1]["parent"]
    again = json.loads(salmu("tells", "all").stdout.splitlines()[1])
    assert again["parent"] == forked[1]["parent"] and again["process"] != forked[1]["process"]
    for draws in zip(*(each["drawn"] for each in (forked[1], fresh[1], again)), strict=True):
        assert len(set(draws)) == 3


@pytest.mark.parametrize(
    "words", ["--help", "run --help", "--version", "plugins --json", "run nothing", "tells", "tells fly"]
)
def test_it_says_the_same(salmu, tells, words):
    forked, fresh = both(salmu, *words.split())
    assert (forked.stdout, forked.stderr) == (fresh.stdout, fresh.stderr)


def test_a_run_and_its_results_are_the_same(salmu, tiny):
    words = ("run", "finetuning", "--benchmark", tiny, "--set", "finetuning.batch_size=8", "--json", "--output")
    one, other = salmu(*words, "one"), salmu(*words, "other", fresh=True)
    assert one.returncode == other.returncode == 0, one.stderr
    for file in ("open_clip_model.safetensors", "per_row.parquet", "run.json"):
        first, second = ([*(salmu.folder / name).glob(f"*/finetuning/*/*/{file}")] for name in ("one", "other"))
        assert len(first) == len(second) == 1
        assert file == "run.json" or first[0].read_bytes() == second[0].read_bytes()
    records = [json.loads(path.read_text()) for path in (*first, *second)]
    for record in records:
        record["command"] = record["command"].replace("--output one", "--output other")
    assert len({json.dumps([record[key] for key in ("command", "environment", "scalars")]) for record in records}) == 1


@pytest.mark.parametrize(("word", "code"), [("None", 0), ("0", 0), ("7", 7), ("a sentence", 1)])
def test_it_ends_the_same(salmu, tells, word, code):
    for done in both(salmu, "tells", "leave", word):
        assert done.returncode == code and done.stdout == "last words\n"
        assert done.stderr == ("a sentence\n" if code == 1 else "")


def test_what_nobody_catches_is_a_traceback(salmu, tells):
    for done in both(salmu, "tells", "fall"):
        assert done.returncode == 1 and "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1] == "RuntimeError: nobody catches this"


def test_one_that_takes_too_long_is_killed_with_what_it_started(salmu, tells):
    with pytest.raises(subprocess.TimeoutExpired):
        salmu("tells", "wait", timeout=3)
    assert not [p for p in psutil.process_iter(["cmdline"]) if "97532" in (p.info["cmdline"] or [])]
    assert salmu("tells", "leave", "7").returncode == 7


def test_a_variable_that_an_import_may_have_read_gets_an_interpreter_of_its_own(salmu, tells):
    one, two = (salmu("tells", "order", PYTHONHASHSEED="77").stdout for _ in range(2))
    assert one == two != salmu("tells", "order").stdout


def test_what_an_import_sets_is_set_in_the_forked_process_as_well(salmu, tells, monkeypatch):
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")  # by scikit-learn
    one, other = (json.loads(salmu("tells", "all").stdout.splitlines()[1]) for _ in range(2))
    assert one["parent"] == other["parent"] != os.getpid()
