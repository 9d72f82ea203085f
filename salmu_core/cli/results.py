"""``salmu results``: what lies in a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json, Output, Worlds
from salmu_core.cli.output import console, print_json, say
from salmu_core.study.todo import older_note


def results(
    output: Output = Path("runs"),
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Which benchmark's results: `mini` for all its worlds, or a folder there, as in `mini@3`.",
            show_default=False,
        ),
    ] = None,
    world: Worlds = None,
    as_json: Json = False,
) -> None:
    """Show the results of earlier runs, with their references and verdicts."""
    from salmu_core.cli.reading import reading
    from salmu_core.show.terminal import show

    found = reading(output, benchmark, world or [])
    if found.older:
        say(older_note(found.older), stderr=True, style="yellow")
    if as_json:
        print_json(found.comparison.as_json())
    else:
        show(console(), found.comparison, found.shown, found.notice)
