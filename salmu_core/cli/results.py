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
        typer.Option(help="Which benchmark's results: `mini` for all its worlds, or a folder there, as in `mini@3`."),
    ] = None,
    world: Worlds = None,
    full: Annotated[bool, typer.Option("--full", help="Show every figure and interval, places and tails.")] = False,
    as_json: Json = False,
) -> None:
    """Show the results of earlier runs, with their references and verdicts."""
    from salmu_core.cli.reading import commands, end_if_damaged, reading
    from salmu_core.show import overview, terminal
    from salmu_core.show.table import table

    contents = reading(output, benchmark, world or [])
    if note := older_note(contents.older):
        say(note, stderr=True, style="yellow")
    if as_json:
        print_json(contents.comparison.as_json())
        end_if_damaged(contents.results)
        return
    screen, whole = console(), table(contents.comparison, contents.figures)
    if full:
        screen.print(terminal.render(whole, contents.notice, screen.width))
    else:
        rest = commands(contents.store, benchmark or contents.results.benchmark, world or [])
        screen.print(overview.render(whole, contents.notice, screen.width, rest), crop=False)
    end_if_damaged(contents.results)
