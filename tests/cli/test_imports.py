"""Listings must answer at once: nothing on their way may import torch, or a plugin that is remembered."""

import inspect
import json
import os
import subprocess
import sys

import pytest
from sources import method
from stores import leak, write_reference, write_run
from typer.main import get_command

from salmu_core.cli import app
from salmu_core.cli.commands import COMMANDS
from salmu_core.testing.isolation import write_plugin

CODE = """
import sys
sys.argv = {argv!r}
from salmu_core.disk import stamps
stamps.GRANULARITY_NS = 0  # what a test has just written is old enough
from salmu_core.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in ({exits}, None), end.code
print(*sys.modules, file=sys.stderr)
"""
HEAVY = {"torch", "numpy", "accelerate", "open_clip", "pyarrow", "sklearn"}
#: As everybody writes it.
OWN = "test_plugin_imports_torch"
PLUGIN = "import torch\nfrom torch import Tensor\n" + method("imports-torch", "pass")


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Run a command in an interpreter of its own; returns the modules it imported, and what it printed."""
    folder = tmp_path_factory.mktemp("modules")
    site = folder / "site"
    site.mkdir()
    write_plugin(
        site, "imports-torch", PLUGIN, entry="imports-torch", module=OWN, requires="salmu-core>=0.1", version="1.0"
    )
    env = {**os.environ, "PYTHONPATH": str(site), "SALMU_CACHE": str(folder / "cache")}

    def run(words, exits=0):
        code = CODE.format(argv=["salmu", *words.split()], exits=exits)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, cwd=folder)
        assert done.returncode == 0, done.stderr
        *said, loaded = done.stderr.splitlines()
        return set(loaded.split()), done.stdout, "\n".join(said)

    run.folder = folder
    run.first = run("methods")
    return run


def plugins(loaded):
    """The top-level modules of plugins among them."""
    known = {"salmu_protocol_metrics", "salmu_holdout_retrieval", "salmu_cliperase", "salmu_mini", "salmu_finetuning"}
    return loaded & {*known, "salmu_salmubench", OWN}


def test_a_plugin_is_imported_once_and_listed_from_memory_ever_after(modules):
    loaded, first, said = modules.first
    assert {"torch", OWN, "salmu_protocol_metrics"} <= loaded and not said
    for words in ("methods", "methods imports-torch", "methods cliperase", "metrics", "metrics ACS", "plugins"):
        loaded, out, _ = modules(words)
        assert not plugins(loaded) and not HEAVY & loaded, words
        assert words != "methods" or (out == first and "imports-torch" in out)
    for words in ("benchmarks", "benchmarks mini", "--help", "run --help"):
        loaded, _, _ = modules(words)
        assert not plugins(loaded) and not HEAVY & loaded, words


def test_what_shows_results_imports_no_plugin_and_a_run_only_its_own(modules):
    for role, rank in (("clean", 9), ("compromised", 1)):
        write_reference(modules.folder / "runs", role, leak([rank] * 80))
    write_run(modules.folder / "runs", "cliperase", leak([4] * 80))
    for words in ("results", "leaderboard", "report --out page.html", "results"):
        loaded, out, said = modules(words)
        assert (out + said) and not plugins(loaded) and "torch" not in loaded, words
    assert "pyarrow" not in loaded  # what rows come to is known
    loaded, _, said = modules("run cliperase --set cliperase.rate=1", exits=2)
    assert "'rate'" in said and plugins(loaded) == {"salmu_cliperase"}


def test_help_imports_no_command_of_the_core(modules):
    ours = {f"salmu_core.cli.{module}" for module, _ in COMMANDS.values()}
    assert modules("--help")[0] & ours <= {"salmu_core.cli.run"}  # whose arguments `salmu plan` has


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_a_command_says_of_itself(name):
    first = inspect.cleandoc(get_command(app).commands[name].help).partition("\n\n")[0]
    assert first.replace("\n", " ") == COMMANDS[name][1]


def test_the_public_names_cost_no_torch():
    code = "import sys, salmu_core, salmu_core.losses; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("what", ["plugins", "methods", "metrics", "attacks", "benchmarks"])
def test_every_listing_speaks_json(salmu, what):
    items = json.loads(salmu(what, "--json").stdout)
    assert items and all("name" in item and "version" in item for item in items)


KILL = "import os, signal, time\nos.kill(os.getpid(), signal.{})\ntime.sleep(60)\n"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", ["a library", "a plugin"])
def test_whoever_stops_it_while_it_imports_is_heard(number, when, salmu, install, site):
    """A library swallows the exception that Ctrl-C is, or is imported by code that makes another one of it."""
    if when == "a library":
        (site / "typer.py").write_text(
            f"try:\n    {KILL.format(number).replace(chr(10), chr(10) + '    ')}\nexcept BaseException:\n    pass\n"
        )
    else:
        install("stopped", KILL.format(number))
    done = salmu("methods", fresh=True, SALMU_PLUGINS="stopped")  # alone: the others import torch
    assert (done.returncode, done.stderr, done.stdout) == (130, "Stopped.\n", "")
