"""Listings must answer at once: nothing on their way may import torch."""

import inspect
import json
import subprocess
import sys

import pytest
from typer.main import get_command

from salmu_core.cli import app
from salmu_core.cli.commands import COMMANDS

CODE = """
import sys
sys.argv = {argv!r}
from salmu_core.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = [m for m in ("torch", "numpy", "accelerate", "open_clip", "pyarrow", "sklearn") if m in sys.modules]
print(heavy, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    ["--help", "run --help", "plugins", "methods", "methods cliperase", "metrics", "metrics ACS", "benchmarks"],
)
def test_listings_do_not_import_torch(words):
    code = CODE.format(argv=["salmu", *words.split()])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr


def test_help_imports_no_command_of_the_core():
    code = CODE.format(argv=["salmu", "--help"]) + "print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert not loaded & {f"salmu_core.cli.{module}" for module, _ in COMMANDS.values()}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_a_command_says_of_itself(name):
    first = inspect.cleandoc(get_command(app).commands[name].help).partition("\n\n")[0]
    assert first.replace("\n", " ") == COMMANDS[name][1]


def test_the_public_names_cost_no_torch():
    code = "import sys, salmu_core, salmu_core.losses; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("what", ["plugins", "methods", "metrics", "benchmarks"])
def test_every_listing_speaks_json(salmu, what):
    items = json.loads(salmu(what, "--json").stdout)
    assert items and all("name" in item and "version" in item for item in items)
