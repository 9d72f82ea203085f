"""``salmu results``: what lies in a results folder."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from salmu_core.benchmark import locate
from salmu_core.cli.output import console, print_json
from salmu_core.errors import UsageError
from salmu_core.outstanding import made_by_other_code, older_note
from salmu_core.plugins import Zoo, discover
from salmu_core.report.table import show
from salmu_core.results import read_results
from salmu_core.store import Store


def show_results(output: Path, benchmark: str | None, as_json: bool) -> None:
    """Print what a results folder holds of one benchmark.

    Raises:
        UsageError: It holds nothing of it, or it is not clear which one is meant.
    """
    zoo = discover()
    found = read_results(Store(output), _choose(Store(output), benchmark))
    made = [(row.record, zoo.methods[row.method]) for row in found.rows if row.record and row.method in zoo.methods]
    if older := sum(made_by_other_code(record, method) for record, method in made):
        console(stderr=True).print(Text(older_note(older), style="yellow"))
    if as_json:
        print_json(found.as_json())
    else:
        show(console(), found, zoo.metrics, notice(found.benchmark, zoo))


def notice(benchmark: str, zoo: Zoo) -> str:
    """The sentence an installed benchmark wants above its tables."""
    base = benchmark.partition("@")[0]
    located = locate(base, zoo) if base in zoo.benchmarks else None
    return located[0].spec.notice if located else ""


def _choose(store: Store, benchmark: str | None) -> str:
    known = store.benchmarks()
    if benchmark is not None:
        if benchmark not in known:
            raise UsageError(
                f"{store.root} has no results of {benchmark!r}"
                + (f"; it has {', '.join(known)}." if known else "; it has none at all.")
            )
        return benchmark
    if not known:
        raise UsageError(f"{store.root} has no results; `salmu run --all` makes some.")
    if len(known) > 1:
        raise UsageError(f"{store.root} has results of {', '.join(known)}: choose one with --benchmark.")
    return known[0]
