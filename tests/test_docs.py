"""What the documentation says is so: its pages are up to date, its code works, its links lead somewhere."""

import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from doc_blocks import (
    DOCS,
    ROOT,
    SHELL,
    anchors,
    blocks,
    inline_code,
    links,
    pages,
    plugin_pages,
    readmes,
    salmu_calls,
)
from typer.main import get_command

import salmu_core
import salmu_core.testing
from salmu_core import MethodContext, MetricContext, ModelAttackContext, QueryContext, ReadoutContext, errors
from salmu_core.benchmark.sources import Sources
from salmu_core.cli import app
from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.hookspecs import HOOKS
from salmu_core.plugins.zoo import discover
from salmu_core.study.parsing import parse_settings
from salmu_core.study.plan import Study, config_hash, make_plan

ALL = [*pages(), *readmes()]
LABORATORY = ROOT / "benchmarks" / "laboratory"
API = (DOCS / "reference" / "api.md").read_text()
#: Plugins that declare a method: each has a generated page.
METHODS = [p.parent.name for p in readmes() if (DOCS / "reference" / "methods" / f"{p.parent.name}.md").is_file()]
SECTIONS = ["Objective", "Inputs", "Settings", "Departures", "Known failures"]


def name(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def zoo():
    return discover()


@pytest.fixture(scope="module")
def methods():
    """The methods of this repository; others may be installed beside them."""
    return {d.spec.name: d.spec for d in discover().methods.values() if (ROOT / "plugins" / d.spec.name).is_dir()}


# Pages are what the code would make them


def test_generated_pages_are_not_stale(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    assert importlib.import_module("generate").stale() == [], "run: uv run python docs/generate.py"


def test_every_error_says_when_it_is_raised_and_what_to_do(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    found = importlib.import_module("error_page").classes(ROOT)
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.__name__ for kind in classes} <= found.keys() and "NonFiniteLossError" in found
    page = (DOCS / "errors.md").read_text()
    for name, one in found.items():
        assert len(one.paragraphs) > 1 and all(part.endswith(".") for part in one.paragraphs[:2]), name
        assert f"| `{name}` |" in page
    for name, code, kept in (("UsageError", 2, "a verdict"), ("MachineError", 1, "nothing is kept")):
        assert f"| `{name}` | {code} | {kept} |" in page


def test_the_measured_study_is_of_the_methods_and_metrics_there_are(zoo, methods):
    data = json.loads((LABORATORY / "mini.json").read_text())
    assert {run["method"] for run in data["runs"]} == set(methods), "measure again: benchmarks/laboratory/measure.py"
    columns = {c for m in zoo.metrics.values() if m.distribution == "salmu-protocol-metrics" for c in m.spec.columns}
    for figures in [*data["references"].values(), *data["runs"]]:
        assert columns <= set(figures["metrics"])
    assert all(sum(h) > 0 for run in data["runs"] for h in run["histograms"].values())


def test_the_measured_study_is_written_as_it_would_be(monkeypatch):
    monkeypatch.syspath_prepend(str(LABORATORY))
    file = LABORATORY / "mini.json"
    assert importlib.import_module("measure").text(json.loads(file.read_text())) == file.read_text()
    assert file.stat().st_size < 200_000


def test_the_folder_on_the_first_page_is_the_one_the_default_settings_make(methods):
    shown = set(re.findall(r"cliperase/([0-9a-f]{12})", (DOCS / "first-run.md").read_text()))
    assert shown == {config_hash(methods["cliperase"].config())[:12]}


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    for group in ("furo", "latex2mathml", "matplotlib", "myst_parser", "sphinx"):
        pytest.importorskip(group, reason="uv run --group docs")
    words = ["-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path / "html")]
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "<math " in (tmp_path / "html" / "reference" / "methods" / "delete.html").read_text()


# Everything is documented


def test_every_command_option_hook_method_metric_and_attack_is_in_the_reference(zoo, methods):
    cli, hooks, metrics = ((DOCS / "reference" / f"{page}.md").read_text() for page in ("cli", "hooks", "metrics"))
    seen = 0
    for command, path in _commands(program(), "salmu"):
        assert f"## {path}\n" in cli
        section = cli.partition(f"## {path}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            seen += 1
            assert all(f"`{flag}`" in section for flag in parameter.opts if flag.startswith("-")), (
                path,
                parameter.opts,
            )
    assert seen > 20
    assert all(f"## {hook}\n" in hooks for hook in HOOKS)
    assert all(f"`{field}`" in hooks for kind in HOOKS.values() for field in kind.model_fields)
    ours = [m.spec for m in zoo.metrics.values() if m.distribution == "salmu-protocol-metrics"]
    numbers = (DOCS / "numbers.md").read_text()
    assert len(ours) == 10
    for spec in ours:
        assert f"## {spec.name}\n" in metrics and f"### {spec.name}\n" in numbers
        assert all(f"`{column}`" in metrics and f"`{column}`" in numbers for column in spec.columns)
    index = (DOCS / "reference" / "methods" / "index.md").read_text()
    assert all(f"({method}.md)" in index for method in methods)
    attacks = (DOCS / "reference" / "attacks.md").read_text()
    for declared in (d for d in zoo.attacks.values() if d.distribution == "salmu-attacks"):
        section = attacks.partition(f"### {declared.spec.name}, declared\n")[2].partition("\n### ")[0]
        assert all(f"| `{field}` |" in section for field in declared.spec.config.model_fields) and section


def _commands(command, path):
    yield command, path
    for child, found in getattr(command, "commands", {}).items():
        if not found.hidden:
            yield from _commands(found, f"{path} {child}")


def test_every_setting_is_on_its_methods_page(methods):
    index = (DOCS / "reference" / "methods" / "index.md").read_text()
    assert all(f"| `{field}` |" in index for field in TrainingConfig.model_fields)
    for method, spec in methods.items():
        page = (DOCS / "reference" / "methods" / f"{method}.md").read_text()
        readme = (ROOT / "plugins" / method / "README.md").read_text()
        assert all(f"| `{field}` |" in page for field in spec.config.model_fields), method
        own = spec.config.model_fields.keys() - TrainingConfig.model_fields.keys()
        assert all(f"`{field}`" in readme for field in own), method


def test_every_public_name_is_in_the_python_interface():
    directives = set(re.findall(r"^\.\. (?:autoclass|autofunction|py:data):: (\S+)", API, re.M))
    assert directives >= {f"salmu_core.{public}" for public in salmu_core.__all__}
    testing = {f"salmu_core.testing.{public}" for public in salmu_core.testing.__all__}
    assert {found for found in directives if found.startswith("salmu_core.testing.")} == testing
    assert re.search(r"^\.\. automodule:: salmu_core\.losses\n   :members:", API, re.M)


@pytest.mark.parametrize("context", [MethodContext, MetricContext, ModelAttackContext, QueryContext, ReadoutContext])
def test_every_member_of_a_context_is_in_the_python_interface(context):
    assert re.search(rf"^\.\. autoclass:: salmu_core\.{context.__name__}\n   :members:$", API, re.M)
    members = [member for member in vars(context) if not member.startswith("_")]
    # Without a docstring, autodoc leaves a member out.
    assert len(members) > 1 and all(inspect.getdoc(getattr(context, member)) for member in members)


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_readme_has_its_sections_and_a_formula(method):
    text = (ROOT / "plugins" / method / "README.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS
    assert "$$\n" in text.partition("## Objective")[2].partition("## Inputs")[0]


def test_every_name_of_the_core_that_is_mentioned_exists():
    seen = 0
    for page in ALL:
        for where, text in inline_code(page):
            words = text.partition("(")[0].split(".")
            if words[0] == "salmu_core" and len(words) > 1 and all(word.isidentifier() for word in words):
                seen += 1
                assert _exists(words), f"{where}: {text}"
    assert seen > 5


def _exists(words):
    """Whether a dotted name is a module, or a name in the text of one; nothing is imported for it but packages."""
    for cut in range(len(words), 0, -1):
        try:
            spec = importlib.util.find_spec(".".join(words[:cut]))
        except ModuleNotFoundError:
            continue
        if spec is not None:
            return all(re.search(rf"\b{word}\b", Path(spec.origin).read_text()) for word in words[cut:])
    return False


# Code blocks are tests


@cache
def program():
    """What ``salmu`` runs, put together once."""
    return get_command(app)


def call(words, loose=False):
    """Parse a call of ``salmu`` as the program would; returns the command's name and arguments.

    With ``loose``, as for a command named in a sentence, arguments may be missing.
    """
    command, path, rest, ctx = program(), "salmu", list(words), None
    while True:
        try:
            ctx = command.make_context(path.rpartition(" ")[2], rest, parent=ctx)
        except Exception as error:
            # By their names: which of typer's and click's they are depends on the version of typer.
            kind = type(error).__name__
            if kind == "Exit" or (loose and kind in ("MissingParameter", "NoArgsIsHelpError")):
                return path, {}  # --help and --version end the program there and then
            raise
        rest = [*getattr(ctx, "_protected_args", []), *ctx.args]
        if not hasattr(command, "commands"):
            return path, ctx.params
        child, command, rest = command.resolve_command(ctx, rest)
        path = f"{path} {child}"


def shown_calls():
    for page in ALL:
        for block in blocks(page):
            if block.language in SHELL:
                yield from ((str(block), words, False) for words in salmu_calls(block.text))
        for where, text in inline_code(page):
            if text.split()[:1] == ["salmu"] and "..." not in text:
                yield from ((where, words, True) for words in salmu_calls(text))


def test_every_salmu_line_is_one_the_program_takes(zoo):
    problems, seen = [], 0
    for where, words, loose in shown_calls():
        seen += 1
        try:
            path, given = call(words, loose)
            if path == "salmu run":
                _check_run(given, zoo, where)
        except Exception as error:
            problems.append(f"{where}: salmu {' '.join(words)}: {getattr(error, 'message', '') or error}")
    assert not problems, "\n".join(problems)
    assert seen > 60


def _check_run(given, zoo, where):
    """Methods and settings exist; a page may bring methods of its own, and capitals stand for anything."""
    text = (ROOT / where.rpartition(":")[0]).read_text()
    own = set(re.findall(r'name="([a-z0-9-]+)"', text))
    own |= set(re.findall(r"salmu new \w+ ([a-z0-9-]+)", text))
    wanted = [method for method in given.get("methods") or [] if method not in own and not method.isupper()]
    if not wanted:
        return
    settings = parse_settings(given.get("settings") or [])
    known = {
        method: {field: value for field, value in fields.items() if not field.isupper()}
        for method, fields in settings.items()
        if method not in own
    }
    make_plan(Study(methods=tuple(wanted)), "checked", zoo, known)


def test_python_blocks_run(tmp_path, salmu):
    todo = []
    for page in pages():
        found = list(blocks(page))
        code = [(b.line, b.text) for b in found if b.language == "python" and not b.file]
        if code:
            files = {b.file: b.text for b in found if b.file}
            todo.append({"page": str(page), "blocks": code, "files": files})
    assert len(todo) > 2
    (tmp_path / "todo.json").write_text(json.dumps(todo))
    done = salmu(tmp_path, module="run_doc_blocks", timeout=120, PYTHONPATH=str(Path(__file__).parent))
    assert done.returncode == 0, done.stderr
    problems = json.loads(done.stdout)
    assert not problems, "\n".join(problems.values())


def test_toml_and_json_blocks_are_valid(zoo):
    seen = {"study": 0, "sources": 0, "json": 0}
    for page in ALL:
        for block in blocks(page):
            try:
                if block.language == "json":
                    json.loads(block.text)
                    seen["json"] += 1
                elif block.language == "toml":
                    kind = _check_toml(block, zoo)
                    seen[kind] = seen.get(kind, 0) + 1
            except Exception as error:
                raise AssertionError(f"{block}: {error}") from error
    assert all(seen.values()), seen


def _check_toml(block, zoo):
    content = tomllib.loads(block.text)
    file = Path(block.file or "").name
    if file == "benchmark.toml":
        Sources.model_validate(content)
        return "sources"
    if file.startswith("study") or (content and set(content) <= set(Study.model_fields)):
        make_plan(Study.model_validate(content), "checked", zoo, {})
        return "study"
    return "other"


@pytest.mark.parametrize(("page", "files"), [pytest.param(*found, id=name(found[0])) for found in plugin_pages()])
def test_a_tutorials_files_are_whole(page, files):
    facts = tomllib.loads(files["pyproject.toml"])["project"]
    for module in facts["entry-points"]["salmu"].values():
        stem = module.partition(":")[0].replace(".", "/")
        assert f"{stem}.py" in files or f"{stem}/__init__.py" in files, name(page)
    for path, text in files.items():
        if path.endswith(".py"):
            compile(text, path, "exec")


# Links


@pytest.mark.parametrize("page", ALL, ids=name)
def test_links_lead_somewhere(page):
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT) and file.exists(), f"{name(page)}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{name(page)}: {target}; there are {sorted(anchors(file))}"


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in pages():
        for block in blocks(page):
            if block.language == "{toctree}":
                entries = [line for line in block.text.splitlines() if line and not line.startswith(":")]
                listed |= {(page.parent / f"{entry}.md").resolve() for entry in entries}
    ours = {page for page in pages() if page.is_relative_to(DOCS)} - {DOCS / "index.md"}
    assert {name(p) for p in ours} == {name(p) for p in listed}
