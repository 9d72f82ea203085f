"""``salmu diff``: how one model differs from another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json
from salmu_core.cli.output import console, print_json


def diff(
    a: Annotated[
        Path,
        typer.Argument(metavar="A", help="A run folder, or a reference model's: runs/BENCHMARK/_references/clean."),
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same data.")],
    as_json: Json = False,
) -> None:
    """Compare two runs row by row: every figure's difference with its interval, and the people it moved most."""
    from salmu_core.judge.diff import compare_two, read_two
    from salmu_core.show.diff import render

    comparison = compare_two(*read_two(a, b))
    if as_json:
        print_json(comparison.as_json())
    else:
        out = console()
        out.print(render(comparison, out.width))
