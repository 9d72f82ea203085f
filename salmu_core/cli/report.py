"""``salmu report``: one page that shows everything."""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path

from salmu_core.benchmark.people import People, read_people
from salmu_core.cli.output import readable, say
from salmu_core.cli.progress import reporter
from salmu_core.cli.reading import Reading, reading
from salmu_core.errors import SalmuError, UsageError
from salmu_core.show.page.drawings import Report, views
from salmu_core.show.page.gathering import gather
from salmu_core.show.page.render import render
from salmu_core.store.files import write_text
from salmu_core.study.reporter import Reporter


def write_report(
    runs: Path, out: Path, benchmark: str | None, worlds: list[str], people: int, identities: list[str]
) -> None:
    """Write the page, whole or not at all.

    Raises:
        UsageError: The page can't be there, the folder holds no results, or it is not clear of which benchmark.
        UnknownNameError: Somebody who must be shown is not there.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder: say what the page is to be called, as in --out {out / 'report.html'}.")
    with reporter(0, to_stderr=True, what="report") as telling:
        report = compose(runs, benchmark, worlds, people, identities, telling)
        telling.building("writing the page", 1.0)
        page = readable(render(report))
        write_text(out, page)
    for reason, those in itertools.groupby(report.gathered.missing.items(), key=lambda item: item[1]):
        say(f"No portraits of {', '.join(world for world, _ in those)}: {reason}", stderr=True, style="yellow")
    shown = sum(len(album.cast.shown) for album in report.gathered.albums.values())
    held = f", with portraits and private captions of {shown} people (--people 0: of nobody)" if shown else ""
    say(f"{out}: {len(page.encode()) / 1e6:.1f} MB{held}")


def compose(
    runs: Path, benchmark: str | None, worlds: list[str], people: int, identities: list[str], telling: Reporter
) -> Report:
    """Read and compare everything a page or its pictures show.

    Raises:
        UsageError: The folder holds no results, or it is not clear of which benchmark they are meant.
        UnknownNameError: Somebody who must be shown is not there.
    """
    telling.building("reading the runs", 0.0)
    found = reading(runs, benchmark, worlds)
    known, missing = _people(found)
    gathered = gather(found.store, found.results, known, missing, people, identities, telling.building)
    telling.building("comparing the runs", 1.0)
    shown = tuple(views(found.comparison, found.shown))
    return Report(found.store, shown, found.shown, gathered, found.notice, shlex.join(["salmu", *sys.argv[1:]]))


def _people(found: Reading) -> tuple[dict[str, People], dict[str, str]]:
    """The people of each world whose data are here, and why those of the others are not."""
    known: dict[str, People] = {}
    missing: dict[str, str] = {}
    for world in found.results.worlds:
        try:
            known[world] = read_people(found.data(world))
        except SalmuError as error:
            missing[world] = str(error)
    return known, missing
