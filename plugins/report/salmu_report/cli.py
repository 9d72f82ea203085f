"""``salmu report``, one page that shows everything, and ``salmu plot``, its pictures as files. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salmu_core.cli.options import Runs, Which, Worlds

if TYPE_CHECKING:
    from salmu_core.cli.reading import Reading
    from salmu_core.run.reporter import Reporter
    from salmu_report.people import People
    from salmu_report.report import Report

report_app = typer.Typer()
plot_app = typer.Typer()


@report_app.command()
def report(
    runs: Runs = Path("runs"),
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    benchmark: Which = None,
    world: Worlds = None,
    people: Annotated[int, typer.Option(min=0, help="People in the leak explorer.")] = 24,
    identity: Annotated[
        list[str] | None,
        typer.Option(help="Somebody who must be among them, by identity; repeatable.", show_default=False),
    ] = None,
) -> None:
    """Write one page that shows everything: tables, trade-offs, histograms, and the leak on people's portraits.

    It holds all it needs: it opens from disk, without a server or a network.
    """
    from itertools import groupby

    from salmu_core.cli.output import say
    from salmu_core.cli.progress import reporting
    from salmu_core.cli.reading import end_if_damaged
    from salmu_core.disk.files import write_text
    from salmu_core.errors import UsageError
    from salmu_core.show.escape import visible_lines
    from salmu_report.render import render

    if out.is_dir():
        raise UsageError(f"{out} is a folder: say what the page is to be called, as in --out {out / 'report.html'}.")
    with reporting(to_stderr=True, what="report") as reporter:
        page = compose(runs, benchmark, world or [], people, identity or [], reporter)
        reporter.building("writing the page", 1.0)
        text = visible_lines(render(page))
        write_text(out, text)
    for reason, worlds in groupby(page.summaries.missing.items(), key=lambda item: item[1]):
        say(f"No portraits of {', '.join(world for world, _ in worlds)}: {reason}", stderr=True, style="yellow")
    portrayed = sum(len(album.cast.reasons) for album in page.summaries.albums.values())
    held = f", with portraits and private captions of {portrayed} people (--people 0: of nobody)" if portrayed else ""
    say(f"{out}: {len(text.encode()) / 1e6:.1f} MB{held}")
    end_if_damaged(page.results)


@plot_app.command()
def plot(
    runs: Runs = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", metavar="svg|png[,...]", help="SVG, PNG or both.")] = "svg",
    benchmark: Which = None,
    world: Worlds = None,
) -> None:
    """Write every figure of the report as a picture for print."""
    from salmu_core.cli.output import say
    from salmu_core.cli.progress import reporting
    from salmu_core.cli.reading import end_if_damaged
    from salmu_core.disk.files import replacing
    from salmu_core.errors import UsageError
    from salmu_report.pictures import FORMATS, draw, figures, file_name

    forms = [name.strip().lower() for name in form.split(",")]
    if unknown := [name for name in forms if name not in FORMATS]:
        raise UsageError(f"--format {unknown[0]}: pictures are written as {' or '.join(FORMATS)}.")
    with reporting(to_stderr=True, what="pictures") as reporter:
        page = compose(runs, benchmark, world or [], 0, [], reporter)
        made = [*figures(page)]
        taken: set[str] = set()
        for number, (name, spec) in enumerate(made):
            reporter.building("drawing", number / len(made))
            called = file_name(name)
            while called in taken:
                called += "-"
            taken.add(called)
            for ending in dict.fromkeys(forms):
                picture = draw(spec, ending)
                with replacing(out / f"{called}.{ending}") as path:
                    path.write_bytes(picture)
    say(f"{out}: {len(made)} pictures as {', '.join(dict.fromkeys(forms))}")
    end_if_damaged(page.results)


def compose(
    runs: Path, benchmark: str | None, worlds: list[str], people: int, identities: list[str], reporter: Reporter
) -> Report:
    """Read and compare everything a page or its pictures show.

    Raises:
        UsageError: The folder holds no results, or it is not clear of which benchmark they are meant.
        UnknownNameError: Somebody who must be shown is not there.
    """
    import sys

    from salmu_core.cli.reading import reading
    from salmu_core.show.escape import shell
    from salmu_report.report import Report, views
    from salmu_report.summaries import summarise

    reporter.building("reading the runs", 0.0)
    study = reading(runs, benchmark, worlds)
    known, missing = _people(study)
    summaries = summarise(study.store, study.results, known, missing, people, identities, reporter.building)
    reporter.building("comparing the runs", 1.0)
    tables = tuple(views(study.comparison, study.figures))
    return Report(study.store, tables, study.figures, summaries, study.notice, shell(["salmu", *sys.argv[1:]]))


def _people(study: Reading) -> tuple[dict[str, People], dict[str, str]]:
    """The people of each world whose data are here, and why those of the others are not."""
    from salmu_core.errors import SalmuError
    from salmu_report.people import read_people

    known: dict[str, People] = {}
    missing: dict[str, str] = {}
    for world in study.results.worlds:
        try:
            known[world] = read_people(study.data(world))
        except SalmuError as error:
            missing[world] = str(error)
    return known, missing
