"""What the documentation says is so: its pages are up to date, and everything is documented."""

import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ALL, DOCS, ROOT, inline_code, readmes
from typer.main import get_command

import salmu_core
import salmu_core.testing
from salmu_core import MethodContext, MetricContext, ModelAttackContext, QueryContext, ReadoutContext, errors
from salmu_core.cli import app
from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.hookspecs import HOOKS
from salmu_core.plugins.zoo import discover
from salmu_core.study.plan import config_hash

LABORATORY = ROOT / "benchmarks" / "laboratory"
API = (DOCS / "reference" / "api.md").read_text()
#: Plugins that declare a method: each has a generated page.
METHODS = [p.parent.name for p in readmes() if (DOCS / "reference" / "methods" / f"{p.parent.name}.md").is_file()]
SECTIONS = ["Objective", "Inputs", "Settings", "Departures", "Known failures"]


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


def test_the_measured_study_is_of_the_methods_and_metrics_there_are(zoo):
    data = json.loads((LABORATORY / "mini.json").read_text())
    assert {run["method"] for run in data["runs"]} == zoo.methods.keys(), (
        "measure again: benchmarks/laboratory/measure.py"
    )
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
    for command, path in _commands(get_command(app), "salmu"):
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
