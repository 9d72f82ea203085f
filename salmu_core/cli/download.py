"""``salmu download``: a published benchmark, fetched and checked."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from salmu_core.benchmark.download.fetch import Downloaded, download, parse_revisions
from salmu_core.benchmark.download.hub import size_text
from salmu_core.cli.output import console, print_json, say
from salmu_core.cli.progress import Lines
from salmu_core.plugins import discover

#: As of a study that is stopped.
STOPPED = 130


def fetch(name: str, zeroshot: Path | None, revisions: list[str], check: bool, as_json: bool) -> int:
    """Fetch and check, and say what is where; returns the exit code."""
    zoo = discover()
    asked = parse_revisions(revisions)
    try:
        # The client draws a bar of its own for what it fetches, and two bars would write over each other.
        told = Lines(sys.stderr).building
        found = download(name, zoo, told, zeroshot=zeroshot, revisions=asked, check=check)
    except KeyboardInterrupt:
        say("Stopped. Files that have come whole are kept; the same command goes on from here.", stderr=True)
        return STOPPED
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)
    return 0


def _show(found: Downloaded) -> None:
    spec = found.spec
    release = spec.release
    assert release is not None
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for role, snapshot in found.snapshots.items():
        told = f"{snapshot.repo_id} at {snapshot.commit}\n{len(snapshot.files)} files, {size_text(snapshot.size)}"
        told += f", {snapshot.fetched} fetched now" if snapshot.fetched else ""
        told += (
            f"; {snapshot.unverified} of them are plain copies whose hash nobody tells"
            if snapshot.unverified
            else ", as the hub has them"
        )
        table.add_row(role, Text(told))
    rows = ", ".join(f"{split} {number:,}" for split, number in release.rows.items())
    people = ", ".join(f"{split} {number:,}" for split, number in release.identities.items())
    table.add_row("rows", Text(f"{rows}: all there"))
    table.add_row("people", Text(f"{people}: all there"))
    table.add_row("zeroshot", Text(str(found.zeroshot) if found.zeroshot else f"none given. {release.bring}"))
    table.add_row("folder", Text(str(found.folder) if found.laid_out else "not laid out yet: run without --check"))
    console().print(table)
    if found.laid_out:
        say(
            f"\n{spec.name} is ready:\n"
            f"  salmu doctor --benchmark {spec.name}      holds its two models against the published figures\n"
            f"  salmu run --all --benchmark {spec.name}   runs every installed method on it"
        )
