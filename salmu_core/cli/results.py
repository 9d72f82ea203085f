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
    full: Annotated[bool, typer.Option("--full", help="Show every figure and interval, places and tails.")] = False,
    as_json: Json = False,
) -> None:
    """Show the results of earlier runs, with their references and verdicts."""
    from salmu_core.cli.reading import commands, reading
    from salmu_core.show import overview, terminal
    from salmu_core.show.table import table

    found = reading(output, benchmark, world or [])
    if found.older:
        say(older_note(found.older), stderr=True, style="yellow")
    if as_json:
        print_json(found.comparison.as_json())
        return
    screen, whole = console(), table(found.comparison, found.shown)
    if full:
        screen.print(terminal.render(whole, found.notice, screen.width))
    else:
        rest = commands(found.store, benchmark or found.results.benchmark, world or [])
        screen.print(overview.render(whole, found.notice, screen.width, rest), crop=False)
