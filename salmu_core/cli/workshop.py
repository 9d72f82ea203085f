"""The commands for authors of plugins: arguments only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json


class Kind(StrEnum):
    """What `salmu new` can make."""

    method = "method"
    metric = "metric"
    benchmark = "benchmark"


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Methods or metrics.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every installed method and metric.")] = False,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds one run on a tiny benchmark may take before it counts as endless.")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Examine plugins by the rules of conformance, and print a report for a pull request.

    Each is run several times on a benchmark of a few rows, in processes of its own. Nothing is written.
    """
    from salmu_core.cli.check import check as examine

    raise typer.Exit(examine(names or [], everything, patience, as_json))


def new(
    kind: Annotated[Kind, typer.Argument(help="What to make.", show_default=False)],
    name: Annotated[
        str,
        typer.Argument(help="Its name: words like `my-method`, for a metric also `MyMetric`.", show_default=False),
    ],
    into: Annotated[
        Path | None, typer.Option(help="The folder to make.  [default: salmu-NAME]", show_default=False)
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="A method that edits weights instead of training.")] = False,
) -> None:
    """Make a plugin: a complete package that installs, passes its tests and runs, for you to change."""
    from salmu_core.cli.new.command import make

    make(kind.value, name, into, edit)
