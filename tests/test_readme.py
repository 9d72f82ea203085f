"""What the README shows is what works."""

import json
import re
import tomllib
from pathlib import Path

from typer.main import get_command

from salmu_core.cli import app
from salmu_core.contract.hookspecs import HOOKS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def example(name):
    return re.search(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.S).group(1)


def test_the_example_is_a_row_in_the_table_and_at_most_25_lines(salmu, tiny, install):
    project, module = example("pyproject.toml"), example("salmu_hinge.py")
    assert sum(1 for line in (project + module).splitlines() if line.strip()) <= 25
    facts = tomllib.loads(project)
    assert facts["project"]["entry-points"]["salmu"] == {"hinge": "salmu_hinge"}
    install("hinge", module, requires=facts["project"]["dependencies"][0])
    done = salmu("run", "hinge", "--benchmark", tiny, "--set", "hinge.batch_size=8", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    assert row["method"] == "hinge" and row["status"] == "valid" and row["ledger"]["steps"] == 10


def test_every_command_and_option_it_shows_exists():
    commands = get_command(app).commands
    names = "|".join(get_command(app).commands)
    shown = re.findall(rf"\bsalmu(?:_core)? ({names})([^`|\n]*)", README)
    assert len(shown) > 10
    for command, rest in shown:
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= _options(commands[command]), (command, rest)


def _options(command):
    """Of a command and those below it."""
    below = getattr(command, "commands", {}).values()
    return {name for p in command.params for name in p.opts}.union(*map(_options, below))


def test_every_command_and_hook_is_documented():
    for name in get_command(app).commands:
        assert f"`salmu {name}" in README or f"`{name}`" in README, name
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert all(f"`{hook}`" in changelog for hook in HOOKS)


def facts(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())


def test_the_distribution_salmu_names_every_other():
    root = facts(ROOT)
    members = {
        facts(path.parent)["project"]["name"]
        for pattern in root["tool"]["uv"]["workspace"]["members"]
        for path in ROOT.glob(f"{pattern}/pyproject.toml")
    }
    project = facts(ROOT / "plugins" / "salmu")["project"]
    first, zoo = project["dependencies"], project["optional-dependencies"]["zoo"]
    listed = {re.match(r"[\w-]+", need)[0] for need in first + zoo}
    extras = {"salmu-ray", "salmu-slurm"}  # what they need is heavy, and of use on clusters alone
    assert listed | extras | {"salmu"} == members | {"salmu-core"} and len(listed) == len(first + zoo)
    assert root["dependency-groups"]["start"] == ["salmu"] and "salmu[zoo]" in root["dependency-groups"]["dev"]


def test_every_plugin_is_complete():
    plugins = [folder for folder in (ROOT / "plugins").iterdir() if folder.name != "salmu"]
    for folder in [*plugins, *(ROOT / "benchmarks" / name for name in ("mini", "references"))]:
        project = facts(folder)["project"]
        assert project["name"] == f"salmu-{folder.name}" and len(project["entry-points"]) == 1
        declared = project["entry-points"].get("salmu", [folder.name])
        assert folder.name in declared or all(name[0].isupper() for name in declared)  # a metric's own name
        assert len((folder / "README.md").read_text().splitlines()) > 5, folder
        assert list((folder / "tests").glob("test_*.py")), folder
