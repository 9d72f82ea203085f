"""Commands of other distributions: found, run, and never in each other's way."""

from importlib.metadata import entry_points

import pytest
from typer.main import get_command

from salmu_core.cli import app, commands
from salmu_core.errors import UsageError

APP = """
import typer
app = typer.Typer(help="Weighs things.")

@app.callback()
def weigh() -> None:
    pass

@app.command()
def all() -> None:
    print("42 kg")
"""


@pytest.fixture
def command(site):
    def make(name: str, source: str, value: str = "app") -> None:
        module = f"test_plugin_{name}_command_{len(list(site.iterdir()))}"
        (site / f"{module}.py").write_text(source)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[salmu.commands]\n{name} = {module}:{value}\n")

    return make


def test_a_command_of_another_distribution_runs_and_is_listed(salmu, command):
    command("weigh", f"print('hello')\n{APP}")
    done = salmu("weigh", "all")
    assert done.stdout == "42 kg\n" and done.stderr == "hello\n"
    assert "Weighs things." in salmu("--help").stdout


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("import nowhere_at_all", "app", "nowhere_at_all"),
        ("app = 3", "app", "int"),
        (APP, "nothing", "nothing"),
        ("raise RuntimeError('bad [/x] tag')", "app", "bad [/x] tag"),
        ("raise SystemExit(3)", "app", "SystemExit"),
    ],
)
def test_one_that_cannot_be_loaded_says_why_and_the_rest_work(salmu, command, source, value, reason):
    command("weigh", source, value)
    done = salmu("weigh", "all", "--heavy")
    assert done.returncode == 2 and done.stderr.startswith("Error: ") and reason in done.stderr
    assert salmu("--help").returncode == 0 and salmu("plugins").returncode == 0


def test_two_of_one_name_and_names_of_the_core(salmu, command):
    command("weigh", APP)
    command("weigh", APP)
    command("results", APP)
    assert "both want to be" in salmu("weigh").stderr
    assert "42" not in salmu("results").stdout


def test_a_command_whose_distribution_is_missing_says_which_that_is(monkeypatch):
    monkeypatch.setattr(commands, "entry_points", lambda group: [])
    missing = get_command(app).get_command(None, "certify")
    with pytest.raises(UsageError, match=r"it comes with salmu-certificate: pip install salmu-certificate\.$"):
        missing.main(["run", "--identity", "3"], standalone_mode=False)
    assert "certify" not in get_command(app).list_commands(None)
    assert get_command(app).get_command(None, "certfy") is None
    for command, distribution in commands.BROUGHT_BY.items():  # where it is installed, it is true
        (point,) = entry_points(group=commands.GROUP, name=command)
        assert point.dist.name == distribution
