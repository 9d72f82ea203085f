"""Code blocks are tests: what they call is there, what they run works, and links lead somewhere."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from doc_blocks import (
    ALL,
    DOCS,
    ROOT,
    SHELL,
    anchors,
    blocks,
    inline_code,
    links,
    name,
    pages,
    plugin_pages,
    salmu_calls,
)
from typer.main import get_command

from salmu_core.benchmark.sources import Sources
from salmu_core.cli import app
from salmu_core.study.asked import Study
from salmu_core.study.parsing import parse_settings
from salmu_core.study.plan import make_plan


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
