"""``salmu download``: a published benchmark, fetched and checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from salmu_core.cli.options import Json
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import Lines
from salmu_core.errors import STOPPED
from salmu_core.plugins.zoo import discover

if TYPE_CHECKING:
    from salmu_core.benchmark.download.fetch import Downloaded


def download(
    name: Annotated[str, typer.Argument(help="A published benchmark, as `salmubench`.")],
    zeroshot: Annotated[
        Path | None,
        typer.Option(help="Folder of the zero-shot set, in CLIP_benchmark's webdataset layout; remembered."),
    ] = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART=REVISION",
            help="Another revision of data, clean or compromised, as in clean=main; repeatable; remembered.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check what is here; fetch nothing and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a published benchmark into the Hugging Face cache, and check every file of it.

    What is there already is not fetched again: a stopped download goes on, and with everything in the cache no network
    is needed. Commits are pinned when they are first fetched.
    """
    from salmu_core.benchmark.download.fetch import download as fetch
    from salmu_core.benchmark.download.fetch import parse_revisions

    zoo = discover()
    revisions = parse_revisions(revision or [])
    try:
        # The client draws a bar of its own for what it fetches, and two bars would write over each other.
        progress = Lines(sys.stderr).building
        downloaded = fetch(name, zoo, progress, zeroshot=zeroshot, revisions=revisions, check=check)
    except KeyboardInterrupt:
        say("Stopped. Files that have come whole are kept; the same command goes on from here.", stderr=True)
        raise typer.Exit(STOPPED) from None
    if as_json:
        print_json(downloaded.as_json())
    else:
        _show(downloaded)


def _show(downloaded: Downloaded) -> None:
    from salmu_core.benchmark.download.hub import size_text

    spec = downloaded.spec
    release = spec.release
    assert release is not None
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for role, snapshot in downloaded.snapshots.items():
        source = f"{snapshot.repo_id} at {snapshot.commit}\n{len(snapshot.files)} files, {size_text(snapshot.size)}"
        source += f", {snapshot.fetched} fetched now" if snapshot.fetched else ""
        source += (
            f"; {snapshot.unverified} of them are plain copies whose hash nobody tells"
            if snapshot.unverified
            else ", as the hub has them"
        )
        table.add_row(role, Text(source))
    rows = ", ".join(f"{split} {number:,}" for split, number in release.rows.items())
    people = ", ".join(f"{split} {number:,}" for split, number in release.identities.items())
    table.add_row("rows", Text(f"{rows}: all there"))
    table.add_row("people", Text(f"{people}: all there"))
    table.add_row("zeroshot", Text(str(downloaded.zeroshot) if downloaded.zeroshot else f"none given. {release.bring}"))
    table.add_row(
        "folder", Text(str(downloaded.folder) if downloaded.laid_out else "not laid out yet: run without --check")
    )
    console().print(table)
    if downloaded.laid_out:
        say(
            f"\n{spec.name} is ready:\n"
            f"  salmu doctor --benchmark {spec.name}      holds its two models against the published figures\n"
            f"  salmu run --all --benchmark {spec.name}   runs every installed method on it"
        )
