"""``salmu new``: a plugin to start from."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

from salmu_core.cli.new import Kind, make_plugin
from salmu_core.cli.output import say
from salmu_core.errors import UsageError
from salmu_core.plugins import discover


def make(kind: Kind, name: str, into: Path | None, edit: bool) -> None:
    """Make a plugin and say what to do with it."""
    if edit and kind != "method":
        raise UsageError("--edit is for methods.")
    made = make_plugin(kind, name, into, discover(), edit=edit)
    folder = shlex.quote(str(made.folder))
    pip = "pip" if find_spec("pip") else "uv pip"
    run = {
        "method": f"salmu run {name}",
        "metric": "salmu run --all",
        "benchmark": f"salmu run --all --benchmark {name}",
    }
    steps = [
        (f"{pip} install -e {shlex.quote(f'{made.folder}[test]')}", "it is installed, and `salmu plugins` lists it"),
        (f"pytest {folder}", "its tests pass"),
        *([(f"salmu check {name}", "what a maintainer will ask for")] if kind != "benchmark" else []),
        (run[kind], "it is in the table"),
    ]
    width = max(len(command) for command, _ in steps)
    lines = [f"Made {made.folder}: {', '.join(map(str, made.files))}", ""]
    lines += [f"  {command:<{width}}  # {meaning}" for command, meaning in steps]
    lines += ["", f"It runs as it is. The mathematics is yours to replace: look for REPLACE in {made.folder}."]
    say("\n".join(lines))
