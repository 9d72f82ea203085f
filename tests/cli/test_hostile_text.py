"""Nothing that a terminal obeys, or a reader can't see, gets from data, plugins or arguments into any output.

Hostile text stands wherever a text may stand that is not in our source: a person's name, a caption, a notice, what a
plugin declares, prints, warns of and raises, a command that is broken, an argument, a record somebody else wrote. Every
command is asked for, in each of its forms, and every byte of what comes out is looked at, by Unicode's categories.
"""

import ast
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from salmu_core.cli.entry import run as salmu_run

#: The clipboard, a title, colours in seven bits and in eight, directions, what has no width, and what others obey.
OBEYED = "\x1b]52;c;aGk=\x07\x1b]0;title\x1b\\\x1b[31m\x9b31m\x9d0;t\x9c\u202e\u2066\u200b\u2028\u3164\x7f\x08\x0c"
TEXT = f"{OBEYED}\r\nforged: line\n=cmd|' /C calc'!A0 [red]x[/nothing] <script>alert(1)</script> `|`"
ARGUMENT = TEXT.replace("\r\n", "").replace("\n", "") + "\udcff"

PLUGIN = """
import sys, warnings, logging
from salmu_core import MethodSpec, hookimpl

TEXT = {text!r}
print(TEXT); print(TEXT, file=sys.stderr)

def unlearn(ctx):
    print(TEXT); print(TEXT, file=sys.stderr); warnings.warn(TEXT); logging.getLogger("x").warning(TEXT)
    raise ValueError(TEXT)

@hookimpl
def salmu_methods():
    summary, paper = " ".join(TEXT.splitlines()), "https://example.org/" + TEXT.split()[0]
    return [MethodSpec(name="hostile", summary=summary, paper=paper, unlearn=unlearn, known_failures={{"M4": TEXT}})]
"""


def unseen(text):
    """The characters that no output may hold."""
    bare = re.sub("\r\n|[\n\t]", "", text)
    return {c for c in bare if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or c == "\u3164"}


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run ``salmu`` here; returns its exit code and both outputs."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words, encoding="utf-8"):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "argv", ["salmu", *map(str, words)])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as end:
            salmu_run()
        return end.value.code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)

    return run


@pytest.fixture
def ground(tiny, tmp_path, install):
    """A benchmark whose people and notice are hostile, and two plugins, of which one can't be imported."""
    folder = shutil.copytree(tiny, tmp_path / "ground")
    for name in ("identities_metadata.json", "sensitive_set_captions_metadata.json"):
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(_hostile(known)))
    (folder / "benchmark.toml").write_text(f"name = 'ground'\nnotice = {json.dumps(TEXT)}\n")
    install("hostile", PLUGIN.format(text=TEXT))
    install("broken", f"raise ImportError({TEXT!r})")
    return folder


def _hostile(value):
    if isinstance(value, dict):
        return {key: part if key == "identity_id" else _hostile(part) for key, part in value.items()}
    return f"{value}{TEXT}" if isinstance(value, str) else value


def _everything(ground, runs):
    """Every command in each of its forms."""
    (run,), (other,) = (runs.glob(f"ground/{method}/*/b*") for method in ("finetuning", "hostile"))
    person = next(iter(json.loads((ground / "identities_metadata.json").read_text())))
    store, data = ("--output", runs), ("--benchmark", ground)
    yield from (["results", *store], ["results", *store, "--full"], ["results", *store, "--json"], ["cache"])
    yield from (["leaderboard", runs], ["leaderboard", runs, "--format", "csv"], ["canary", run], ["--version"])
    yield from (["diff", run, run], ["diff", run, run, "--json"], ["diff", run, other], ["check", "broken"])
    yield from (["report", runs, *data, "--out", "p.html"], ["plot", runs, *data, "--out", "pictures"], ["--help"])
    yield from (["certify", run, "--identity", person, *data, "--out", "c.html"], ["publish", run, "--out", "card"])
    yield from (["methods", "hostile"], ["methods", "hostile", "--json"], ["run", "-h"], ["doctor", *data, *store])
    for kind in ("plugins", "methods", "metrics", "attacks", "benchmarks"):
        yield from ([kind], [kind, "--json"])
    for command in ("methods", "metrics", "attacks", "benchmarks", "evaluate", "canary", "download", "diff", "run"):
        yield [command, ARGUMENT]
    for command in ("publish", "results", "run", "check", "new", "cache", "references", "dataset", "certify"):
        yield [command, f"--{ARGUMENT}"]
    for option in ("--benchmark", "--config", "--set", "--seed", "--budget", "--attack", "--from", "--retain"):
        yield ["run", "finetuning", option, ARGUMENT]
    yield from ([ARGUMENT], ["report", ARGUMENT], ["leaderboard", runs, "--format", ARGUMENT], ["new", ARGUMENT, "x"])


def test_no_output_holds_what_a_terminal_obeys(call, ground, tmp_path):
    runs = tmp_path / "runs"
    words = ("run", "finetuning", "hostile", "--benchmark", ground, "--budget", "1", "--processes", "1")
    outputs = {"run": call(*words, "--output", runs)}
    outputs |= {" ".join(map(str, words)): call(*words) for words in _everything(ground, runs)}
    assert not {label for label, (code, *_) in outputs.items() if code not in (0, 1, 2)}
    texts = {label: "".join(said) for label, (_, *said) in outputs.items()}
    assert not {label for label, text in texts.items() if "Traceback" in text}
    made = [*tmp_path.glob("[pc].*"), *tmp_path.glob("pictures/*"), tmp_path / "card" / "README.md"]
    assert {path.suffix for path in made} == {".html", ".json", ".svg", ".md"}
    texts |= {path.name: path.read_bytes().decode() for path in made}
    assert not {label: found for label, text in texts.items() if (found := unseen(text))}
    assert len(texts) >= 60 and sum(r"\x1b]52" in text for text in texts.values()) >= 45

    said = json.loads(outputs["methods hostile --json"][1])
    assert said["known_failures"] == [f"M4: {TEXT}"]  # JSON loses nothing
    table = next(out for label, (_, out, _) in outputs.items() if label.endswith("csv"))
    cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not re.fullmatch(r"-[0-9.e-]+", cell)]
    for encoding in ("ascii", "cp1252"):  # what it lacks is an escape, and no reason to fail
        words = ("results", "--output", runs)
        code, out, _ = call(*words, encoding=encoding)
        assert code == outputs[" ".join(map(str, words))][0] and "finetuning" in out
        assert json.loads(call(*words, "--json", encoding=encoding)[1]) == json.loads(call(*words, "--json")[1])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_a_standard_output_that_takes_nothing_is_a_sentence(where):
    line = f"exec {sys.executable} -m salmu_core --version {where}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr.startswith("Error: standard output takes no more")
    assert done.stderr.count("\n") == 1


def test_nobody_prints_past_the_door():
    """Who needs another way out says so here."""
    doors = {"salmu_core/cli/output.py"}
    # Words between processes, which no person reads as they are.
    doors |= {
        "salmu_core/study/saying.py",
        "salmu_core/testing/conformance/server.py",
        "benchmarks/mini/salmu_mini/worker.py",
    }
    home = Path(__file__).parents[2]
    rooms = ("salmu_core/**/*.py", "plugins/*/salmu_*/**/*.py", "plugins/*/salmu_*.py", "benchmarks/*/salmu_*/**/*.py")
    past = []
    for path in (path for room in rooms for path in home.glob(room) if str(path.relative_to(home)) not in doors):
        for node in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            called, ours = ast.unparse(node.func), all(isinstance(word, ast.Constant) for word in node.args)
            echo = called in ("print", "typer.echo", "click.echo", "typer.secho", "click.secho", "rich.print")
            if (echo and not ours) or (
                re.fullmatch(r"(sys\.__?std(out|err)__|sys\.std(out|err))\.write|(rich\.console\.)?Console", called)
            ):
                past.append(f"{path.relative_to(home)}:{node.lineno}: {called}")
    assert not past, "\n".join(past)
