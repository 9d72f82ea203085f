"""``salmu leaderboard``: the table to put somewhere else."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from salmu_core.cli.output import say
from salmu_core.cli.reading import Reading, reading
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.show.leaderboard import markdown, metric_errors
from salmu_core.show.spreadsheet import spreadsheet
from salmu_core.store.files import replacing
from salmu_core.study.todo import older_note

FORMS = ("md", "csv")


def print_leaderboard(runs: Path, form: str | None, out: Path | None, benchmark: str | None, worlds: list[str]) -> None:
    """Print the table of a results folder as Markdown or CSV, or write it into a file.

    Without a format it is as the file's name ends, and else Markdown. What a CSV file has no place for, the notes below
    the table, is on standard error.

    Raises:
        UsageError: There is no such format, ``out`` is a folder, the results folder holds nothing of the benchmark, or
            it is not clear which one is meant.
    """
    if form is None:
        form = "csv" if out is not None and out.suffix.lower() == ".csv" else "md"
    if form not in FORMS:
        raise UnknownNameError("format", form, FORMS)
    if out is not None and out.is_dir():
        raise UsageError(f"{out} is a folder: give --out a file, as in --out {out / f'leaderboard.{form}'}")
    found = reading(runs, benchmark, worlds)
    aside = [older_note(found.older)] if found.older else []
    if form == "csv":
        text = spreadsheet(found.comparison, found.shown)
        aside += [note for note in (found.notice, *found.comparison.notes) if note] + metric_errors(found.results.rows)
    else:
        text = markdown(found.comparison, found.shown, found.notice, _command(found, runs, benchmark, worlds))
    for note in aside:
        say(note, stderr=True, style="yellow")
    if out is None:
        sys.stdout.write(text)
        return
    with replacing(out) as temporary:
        temporary.write_bytes(text.encode())  # line ends as they are
    say(f"Wrote {out}")


def _command(found: Reading, runs: Path, benchmark: str | None, worlds: list[str]) -> str:
    words = ["salmu", "leaderboard", str(runs), "--benchmark", benchmark or found.results.benchmark]
    return shlex.join([*words, *(word for world in worlds for word in ("--world", world))])
