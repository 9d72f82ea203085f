"""Commands that show results to people: arguments only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salmu_core.cli.options import Json, Worlds

Runs = Annotated[Path, typer.Argument(metavar="[RUNS]", help="Results folder.")]
Which = Annotated[
    str | None,
    typer.Option(
        "--benchmark",
        metavar="NAME|PATH",
        help="Which benchmark's results, where there are several; or the folder its data lie in.",
        show_default=False,
    ),
]


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
    from salmu_core.cli.report import write_report

    write_report(runs, out, benchmark, world or [], people, identity or [])


def leaderboard(
    runs: Runs = Path("runs"),
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="md|csv",
            help="Markdown or CSV; by default as the name of --out ends, and else Markdown.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write it there instead of printing it.", show_default=False)] = None,
    benchmark: Which = None,
    world: Worlds = None,
) -> None:
    """Print the table for a paper or a README: Markdown, or CSV with every interval."""
    from salmu_core.cli.leaderboard import print_leaderboard

    print_leaderboard(runs, form, out, benchmark, world or [])


def diff(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A run folder, or a reference model's: runs/BENCHMARK/_references/clean.",
            show_default=False,
        ),
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one, of the same data.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Compare two runs row by row: every figure's difference with its interval, and the people it moved most."""
    from salmu_core.cli.diff import show_difference

    show_difference(a, b, as_json)


def plot(
    runs: Runs = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("figures"),
    form: Annotated[str, typer.Option("--format", metavar="svg|png[,...]", help="SVG, PNG or both.")] = "svg",
    benchmark: Which = None,
    world: Worlds = None,
) -> None:
    """Write every figure of the report as a picture for print."""
    from salmu_core.cli.plot import write_plots

    write_plots(runs, out, form, benchmark, world or [])
