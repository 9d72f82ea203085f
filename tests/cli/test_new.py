"""`salmu new` makes packages that are fit for the zoo as they are, and refuses names that can't be."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from salmu_core.cli.new.make import Attack, make_plugin
from salmu_core.contract.version import API_VERSION, CORE, REQUIREMENT
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.testing.conformance import RULES, examine
from salmu_core.testing.isolation import IsolatedPlugins

#: Kind, name, what else is asked for, and the distribution it becomes.
MADE = [
    ("method", "a-loss", {}, "salmu-a-loss"),
    ("method", "an-edit", {"edit": True}, "salmu-an-edit"),
    ("method", "a-wrapper", {"over": "a-loss"}, "salmu-a-wrapper"),
    ("metric", "MyGap", {}, "salmu-my-gap"),
    ("benchmark", "a-world", {}, "salmu-a-world"),
    *(("attack", f"by-{attack}", {"attack": attack}, f"salmu-by-{attack}") for attack in Attack),
]
CHECKED = [(kind, name) for kind, name, *_ in MADE if kind != "benchmark"]


@pytest.fixture
def made(tmp_path, isolated_plugins) -> dict[str, Path]:
    """One package of each kind, installed beside each other and without anything else."""
    return {name: install(isolated_plugins, kind, name, asked, tmp_path) for kind, name, asked, _ in MADE}


def install(isolated: IsolatedPlugins, kind: str, name: str, asked: dict[str, Any], where: Path) -> Path:
    """Make a package and put it where `isolated` finds it, by what its pyproject.toml says."""
    zoo = isolated.discover() if "over" in asked else discover(())
    folder = make_plugin(kind, name, where / name, zoo, **asked).folder
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    ((entry, module),) = project["entry-points"]["salmu"].items()
    requires, *others = project["dependencies"]
    assert others == [f"salmu-{asked[name]}" for name in asked if name == "over"]
    source = (folder / f"{module}.py").read_text()
    isolated.install(project["name"], source, entry=entry, module=module, requires=requires, version=project["version"])
    return folder


def test_every_package_is_found_under_its_name(made, isolated_plugins):
    zoo = isolated_plugins.discover()
    assert not zoo.problems
    assert set(zoo.methods) == {"a-loss", "an-edit", "a-wrapper"} and set(zoo.metrics) == {"MyGap"}
    assert set(zoo.benchmarks) == {"a-world"} and set(zoo.attacks) == {f"by-{attack}" for attack in Attack}
    assert {row.distribution for row in zoo.plugins} == {distribution for *_, distribution in MADE}


@pytest.mark.xdist_group("salmu conformance")
@pytest.mark.parametrize(("kind", "name"), CHECKED)
def test_it_conforms_as_it_is_and_is_told_what_to_fill_in(made, kind, name):
    report = examine(kind, name)
    assert report.sound, report.markdown(RULES[kind])
    advice = [f for f in report.findings if f.verdict == "advice"]
    assert [f.rule for f in advice] == ["provenance"] and "REPLACE" in advice[0].sentence


def test_its_own_tests_pass_and_it_is_clean(made, isolated_plugins, salmu):
    tests = [str(made[name] / "tests") for _, name in CHECKED]
    words = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-k", "not conformance"]
    words += ["--rootdir", isolated_plugins.folder, *tests]
    done = salmu(*words, module="pytest", PYTHONPATH=str(isolated_plugins.folder))
    assert done.returncode == 0 and "12 passed" in done.stdout, done.stdout
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    for words in (("check",), ("format", "--check", "--diff")):
        config = Path(__file__).parents[2] / "pyproject.toml"
        done = subprocess.run([ruff, *words, "--config", config, *made.values()], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_its_benchmark_is_sound(made, tmp_path, monkeypatch):
    from importlib import import_module

    from salmu_core.testing import assert_sound_benchmark

    module = import_module("salmu_a_world")
    # That it trains, not how well.
    monkeypatch.setattr(module, "MODELS", module.MODELS.model_copy(update={"steps": 2}))
    (spec,) = module.salmu_benchmarks()
    assert_sound_benchmark(spec, tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("method", "My Method", "lower-case words"),
        ("method", "MyMethod", "lower-case words"),
        ("method", "a_b", "lower-case words"),
        ("method", "-x", "lower-case words"),
        ("method", "a" * 51, "lower-case words"),
        ("method", "", "lower-case words"),
        ("method", "../../etc", "lower-case words"),
        ("metric", "1st", "letters, digits"),
        ("metric", "Größe", "letters, digits"),
        ("metric", "a b", "letters, digits"),
        ("benchmark", "mini@3", "lower-case words"),
        ("method", "core", "salmu-core (module salmu_core) is installed"),
        ("metric", "core", "salmu-core (module salmu_core) is installed"),
        ("benchmark", "mini", "taken, by salmu-mini"),
        ("method", "cliperase", "taken, by salmu-cliperase"),
        ("metric", "RetFail", "taken, by salmu-protocol-metrics"),
        ("attack", "bare-value", "taken, by salmu-attacks"),
        ("attack", "BareValue", "lower-case words"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, kind, name, words):
    with pytest.raises(UsageError) as error:
        make_plugin(kind, name, tmp_path / "x", discover())
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_broken_plugin_is_taken_too(tmp_path, isolated_plugins):
    isolated_plugins.install("broken", "import nothing_like_it")
    with pytest.raises(UsageError, match="taken, by broken"):
        make_plugin("method", "broken", tmp_path / "x", discover())


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="is there already"):
        make_plugin("method", "x", tmp_path / "mine", discover(()))
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_repository_that_has_just_been_made_is_filled(tmp_path):
    (tmp_path / "mine" / ".git").mkdir(parents=True)
    (tmp_path / "mine" / ".gitignore").write_text("my own\n")
    made = make_plugin("method", "x", tmp_path / "mine", discover(()))
    assert (tmp_path / "mine" / "salmu_x.py").is_file() and Path(".github/workflows/tests.yml") in made.files
    assert (tmp_path / "mine" / ".gitignore").read_text() == "my own\n"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("MyMetric", "my-metric"), ("R@1", "r-1"), ("ACS", "acs"), ("KLGap2", "kl-gap2")],
)
def test_a_metric_named_as_the_literature_does_has_a_plain_distribution(tmp_path, name, slug):
    made = make_plugin("metric", name, tmp_path / "x", discover(()))
    project = tomllib.loads((made.folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"salmu-{slug}" and list(project["entry-points"]["salmu"]) == [name]


def test_inside_a_repository_it_brings_no_workflow_of_its_own(tmp_path):
    assert (make_plugin("method", "x", tmp_path / "x", discover(())).folder / ".github").is_dir()
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    inside = make_plugin("method", "y", tmp_path / "repository" / "plugins" / "y", discover(()))
    assert not [p for p in inside.folder.iterdir() if p.name.startswith(".")]


def test_the_command_says_what_to_do_next(salmu):
    done = salmu("new", "method", "told")
    assert done.returncode == 0, done.stderr
    for word in ("Made salmu-told", "install -e", "salmu check told", "salmu run told"):
        assert word in done.stdout
    assert (salmu.folder / "salmu-told" / "salmu_told.py").is_file()
    again = salmu("new", "method", "told")
    assert again.returncode == 2 and "is there already" in again.stderr
    assert salmu("new", "metric", "m", "--edit").returncode == 2
    assert salmu("new", "method", "m", "--edit", "--over", "delete").returncode == 2
    assert "There is no loss" in salmu("new", "method", "m", "--over", "null-space").stderr
    assert salmu("new", "method", "m", "--kind", "query").returncode == 2


def test_what_is_new_is_written_for_the_api_that_runs():
    from importlib.metadata import version

    from packaging.requirements import Requirement
    from packaging.version import Version

    installed = Version(version(CORE))
    assert f"{installed.major}.{installed.minor}" == API_VERSION
    assert Requirement(REQUIREMENT).specifier.contains(installed)
    after = f"{installed.major}.{installed.minor + 1}.0"
    assert not Requirement(REQUIREMENT).specifier.contains(after)
