"""The API version's promise: nothing that was recorded for it is ever taken away or changed."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
from public_api import broken, interface, parameters, record
from sources import method

import salmu_core
from salmu_core.contract.version import SalmuDeprecationWarning
from salmu_core.testing.conformance import examine


def test_the_interface_is_what_this_api_version_promised():
    promised, current = json.loads(record().read_text()), interface()
    assert broken(promised, current) == [], "only another API version may break plugins; see docs/versions.md"
    new = current.keys() - promised.keys()
    assert not new, f"added on purpose? then: uv run python tests/public_api.py ({sorted(new)[:5]})"


@pytest.mark.parametrize("path", ["salmu_core", "salmu_core.testing"])
def test_every_public_name_is_listed_once_in_order_and_is_there(path):
    module = importlib.import_module(path)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, name) for name in module.__all__) and not hasattr(module, "nothing_like_it")


ROOT = Path(__file__).parents[2]
#: What a plugin, a template or a document may name beside the names of `salmu_core` itself.
OPEN = {"losses", "testing"}


def plugin_sources():
    for project in (*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("benchmarks/*/pyproject.toml")):
        if "[project.entry-points.salmu]" in project.read_text():
            yield from (path for path in project.parent.rglob("salmu_*/**/*.py"))
            yield from project.parent.glob("salmu_*.py")
    yield from ROOT.glob("salmu_core/cli/new/templates/**/*.jinja")
    yield from (*ROOT.glob("docs/plugins/*.md"), ROOT / "docs" / "your-data.md", ROOT / "README.md")


def test_no_plugin_template_or_document_imports_what_is_not_public():
    sources = list(plugin_sources())
    assert len(sources) > 40
    for path in sources:
        text = path.read_text()
        modules = re.findall(r"^\s*(?:from|import) salmu_core\.(\w+)", text, re.M)
        assert set(modules) <= OPEN, path
        for names in re.findall(r"^\s*from salmu_core import ([\w, ]+)$", text, re.M):
            assert {name.split()[0] for name in names.split(",")} <= set(salmu_core.__all__), path


def f(a, b=1): ...


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (lambda b=1, a=0: ..., "took a, b, now b, a"),
        (lambda a: ..., "took a, b, now a"),
        (lambda a, b: ..., "now needs b"),
        (lambda a, c, b=1: ..., "now needs c"),
        (lambda a, *, b=1: ..., "takes b by keyword only"),
        (lambda a, b=2: ..., "another default for b"),
    ],
)
def test_a_broken_promise_is_seen(now, words):
    (problem,) = broken({"f": parameters(f)}, {"f": parameters(now)})[-1:]
    assert words in problem
    assert broken({"f": parameters(f)}, {}) == ["f is gone"]


def test_growth_breaks_nothing():
    assert broken({"f": parameters(f)}, {"f": parameters(lambda a=0, b=1, *, c=2: ...), "g": None}) == []


def test_the_use_of_what_is_deprecated_is_advice(isolated_plugins):
    body = "import warnings\nfrom salmu_core.contract.version import SalmuDeprecationWarning\n"
    body += "warnings.warn('x() goes in API 0.3; use y()', SalmuDeprecationWarning)\n"
    body += 'with ctx.edit() as weights:\n    weights["visual.proj"].mul_(2)'
    isolated_plugins.install("dated", method("dated", body))
    report = examine("method", "dated", only={"current"})
    assert report.sound and report["current"].verdict == "advice" and "use y()" in report["current"].sentence
    assert issubclass(SalmuDeprecationWarning, DeprecationWarning)


def test_every_public_name_comes_from_where_type_checkers_see_it():
    source = ast.parse(Path(salmu_core.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in source.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen.keys() == {*salmu_core.__all__} - {"layout"}
    for name, module in seen.items():
        assert getattr(salmu_core, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = salmu_core.nothing
