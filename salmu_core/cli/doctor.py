"""``salmu doctor``: what is off on this machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from salmu_core.benchmark.locate import locate
from salmu_core.cli.options import BenchmarkName, Json, Threads
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import reporting
from salmu_core.plugins.zoo import discover
from salmu_core.store.folders import Store
from salmu_core.study.launched import by_itself, launched
from salmu_core.testing.doctor import Finding, installation, models, plugins
from salmu_core.testing.shared import shared

#: As of other commands; here it makes a difference whether it was named.
Place = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Results folder; where it is named, locks, renames, clocks, cache and cards are tried there.  "
        "[default: runs]",
    ),
]


def doctor(benchmark: BenchmarkName = None, output: Place = None, threads: Threads = 1, as_json: Json = False) -> None:
    """Check the installation, the plugins and a benchmark, and say what is off and what to do.

    The benchmark is built if it has to be. Its reference models are scored twice: the figures must lie where the
    benchmark says, and repeat to the last bit. With `--output`, what clusters get wrong is looked at in that folder;
    `accelerate launch` on several nodes has them look together.
    """
    zoo, name = discover(fresh=True), benchmark or "mini"
    locate(name, zoo)
    together = shared(output) if output else []
    if launched()[0]:
        return
    results = output or Path("runs")
    findings = [*installation(zoo, results), *plugins(zoo), *together]
    with reporting(to_stderr=True) as reporter, by_itself():
        findings += models(name, Store(results), zoo, threads, reporter)
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        _show(findings)
    if not all(finding.sound for finding in findings):
        raise typer.Exit(1)


def _show(findings: Sequence[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in (finding for finding in findings if finding.band is None):
        table.add_row(_mark(finding), Text(finding.subject), Text(finding.text))
    console().print(table)
    if any(finding.band for finding in findings):
        console().print(_published(findings))
    off, blank = (sum(hit) for hit in zip(*map(_count, findings), strict=True))
    summary = f"{off} of {len(findings)} are off" if off else "All is well"
    if advised := sum(finding.advice for finding in findings):
        summary += f"; {advised} could be better"
    say(f"{summary}; {blank} published figures were not measured." if blank else f"{summary}.")


def _count(finding: Finding) -> tuple[bool, bool]:
    """Whether it is off, and whether it is a published figure that could not be measured."""
    return not finding.sound, finding.sound and finding.band is not None and finding.measured is None


def _mark(finding: Finding) -> Text:
    if _count(finding)[1]:
        return Text("-", style="dim")
    if finding.advice:
        return Text("note", style="yellow")
    return Text("ok", style="green") if finding.sound else Text("off", style="bold red")


def _published(findings: Sequence[Finding]) -> Table:
    """Every published figure beside what it is here."""
    table = Table(box=None, pad_edge=False, title="\nbeside the published figures", title_justify="left")
    for column in ("", "model", "figure"):
        table.add_column(column, no_wrap=True)
    for column in ("measured", "published", "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for finding in findings:
        if (band := finding.band) is None or band.published is None:
            continue
        measured, difference, text = "-", "-", finding.text
        if finding.measured is not None:
            measured, difference = f"{finding.measured:.6f}", f"{finding.measured - band.published:+.6f}"
            text = finding.text.rpartition(f"{difference}: ")[2]
        cells = [band.model.capitalize(), band.figure, measured, f"{band.published:.6f}", difference, text]
        table.add_row(_mark(finding), *map(Text, cells))
    return table
