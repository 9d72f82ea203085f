"""``salmu diff``: how one model differs from another."""

from __future__ import annotations

from pathlib import Path

from salmu_core.cli.output import console, print_json
from salmu_core.judge.columns import columns
from salmu_core.judge.diff import compare_two, read_two
from salmu_core.plugins import discover
from salmu_core.show.diff import render


def show_difference(a: Path, b: Path, as_json: bool) -> None:
    """Print how B differs from A.

    Raises:
        UsageError: They are the same, of other data, or one of them can't be compared with anything.
        StoreError: One is damaged.
    """
    found = compare_two(*read_two(a, b), columns(discover().metrics))
    if as_json:
        print_json(found.as_json())
    else:
        out = console()
        out.print(render(found, out.width))
