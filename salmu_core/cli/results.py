"""``salmu results``: what lies in a results folder."""

from __future__ import annotations

from pathlib import Path

from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.reading import reading
from salmu_core.show.terminal import show
from salmu_core.study.todo import older_note


def show_results(output: Path, benchmark: str | None, worlds: list[str], as_json: bool) -> None:
    """Print what a results folder holds of one benchmark, over all its worlds or some of them.

    Raises:
        UsageError: It holds nothing of it, or it is not clear which one is meant.
    """
    found = reading(output, benchmark, worlds)
    if found.older:
        say(older_note(found.older), stderr=True, style="yellow")
    if as_json:
        print_json(found.comparison.as_json())
    else:
        show(console(), found.comparison, found.shown, found.notice)
