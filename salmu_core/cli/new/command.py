"""``salmu new``: a plugin to start from."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.new.make import Attack, Kind, make_plugin
from salmu_core.cli.output import say
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import discover


def new(
    kind: Annotated[Kind, typer.Argument(help="What to make.")],
    name: Annotated[str, typer.Argument(help="Its name: words like `my-method`, for a metric also `MyMetric`.")],
    into: Annotated[Path | None, typer.Option(help="The folder to make.  [default: salmu-NAME]")] = None,
    edit: Annotated[bool, typer.Option("--edit", help="A method that edits weights instead of training.")] = False,
    over: Annotated[
        str | None, typer.Option(metavar="METHOD", help="A method over any loss; by default this method's.")
    ] = None,
    attack: Annotated[Attack | None, typer.Option("--kind", help="What an attack does.  [default: model]")] = None,
) -> None:
    """Make a plugin: a complete package that installs, passes its tests and runs, for you to change."""
    if (edit or over) and kind != "method":
        raise UsageError("--edit and --over are for methods.")
    if edit and over:
        raise UsageError("A method edits weights (--edit) or stands on another's loss (--over): give one of the two.")
    if attack and kind != "attack":
        raise UsageError("--kind is for attacks.")
    made = make_plugin(kind, name, into, discover(), edit=edit, over=over, attack=attack or Attack.model)
    folder = shlex.quote(str(made.folder))
    pip = "pip" if find_spec("pip") else "uv pip"
    run = {
        "method": f"salmu run {name}",
        "metric": "salmu run --all",
        "benchmark": f"salmu run --all --benchmark {name}",
        "attack": f"salmu run --all --attack {name}",
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
