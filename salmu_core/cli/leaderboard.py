"""``salmu leaderboard``: the table to put somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salmu_core.cli.options import Runs, Which, Worlds
from salmu_core.cli.output import print_text, say
from salmu_core.disk.files import replacing
from salmu_core.errors import UnknownNameError, UsageError
from salmu_core.show.escape import shell, visible_lines
from salmu_core.study.todo import older_note

if TYPE_CHECKING:
    from salmu_core.cli.reading import Reading

FORMS = ("md", "csv")


def leaderboard(
    runs: Runs = Path("runs"),
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="md|csv",
            help="Markdown or CSV; by default as the name of --out ends, and else Markdown.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write it there instead of printing it.")] = None,
    benchmark: Which = None,
    world: Worlds = None,
) -> None:
    """Print the table for a paper or a README: Markdown, or CSV with every interval."""
    from salmu_core.cli.reading import end_if_damaged, reading
    from salmu_core.show.captions import errors_of
    from salmu_core.show.markdown import markdown
    from salmu_core.show.spreadsheet import spreadsheet
    from salmu_core.show.table import table

    if form is None:
        form = "csv" if out is not None and out.suffix.lower() == ".csv" else "md"
    if form not in FORMS:
        raise UnknownNameError("format", form, FORMS)
    if out is not None and out.is_dir():
        raise UsageError(f"{out} is a folder: give --out a file, as in --out {out / f'leaderboard.{form}'}")
    worlds = world or []
    contents = reading(runs, benchmark, worlds)
    # What a CSV file has no place for, the notes below the table, is on standard error.
    aside = [note] if (note := older_note(contents.older)) else []
    whole = table(contents.comparison, contents.figures)
    if form == "csv":
        text = spreadsheet(whole)
        aside += [note for note in (contents.notice, *contents.comparison.notes) if note]
        aside += errors_of(contents.results)
    else:
        text = markdown(whole, contents.notice, _command(contents, runs, benchmark, worlds))
    for note in aside:
        say(note, stderr=True, style="yellow")
    if out is None:
        print_text(text)
    else:
        with replacing(out) as temporary:
            temporary.write_bytes(visible_lines(text).encode())  # line ends as they are
        say(f"Wrote {out}")
    end_if_damaged(contents.results)


def _command(contents: Reading, runs: Path, benchmark: str | None, worlds: list[str]) -> str:
    words = ["salmu", "leaderboard", str(runs), "--benchmark", benchmark or contents.results.benchmark]
    return shell([*words, *(word for world in worlds for word in ("--world", world))])
