"""``salmu results``: what lies in a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from salmu_core.benchmark import locate
from salmu_core.cli.output import console, print_json
from salmu_core.comparison import columns, compare
from salmu_core.errors import UsageError
from salmu_core.outstanding import made_by_other_code, older_note
from salmu_core.plan import parse_numbers
from salmu_core.plugins import Zoo, discover
from salmu_core.report.table import show
from salmu_core.results import by_number, read_results
from salmu_core.store import Store


def show_results(output: Path, benchmark: str | None, worlds: list[str], as_json: bool) -> None:
    """Print what a results folder holds of one benchmark, over all its worlds or some of them.

    Raises:
        UsageError: It holds nothing of it, or it is not clear which one is meant.
    """
    zoo = discover()
    store = Store(output)
    numbers = parse_numbers(worlds, "--world", "worlds")
    found = read_results(store, _choose(store, benchmark, numbers))
    made = [(row.record, zoo.methods[row.method]) for row in found.rows if row.record and row.method in zoo.methods]
    if older := sum(made_by_other_code(record, method) for record, method in made):
        console(stderr=True).print(Text(older_note(older), style="yellow"))
    shown = columns(zoo.metrics)
    if as_json:
        print_json(compare(found, shown).as_json())
    else:
        show(console(), compare(found, shown), shown, notice(found.benchmark, zoo))


def notice(benchmark: str, zoo: Zoo) -> str:
    """The sentence an installed benchmark wants above its tables."""
    base = benchmark.partition("@")[0]
    located = locate(base, zoo) if base in zoo.benchmarks else None
    return located[0].spec.notice if located else ""


def _choose(store: Store, benchmark: str | None, numbers: Sequence[int]) -> list[str]:
    """The worlds that are meant, as they are called in the results folder."""
    known = store.benchmarks()
    families = sorted({name.partition("@")[0] for name in known})
    if not known:
        raise UsageError(f"{store.root} has no results; `salmu run --all` makes some.")
    if benchmark is None and len(families) > 1:
        raise UsageError(f"{store.root} has results of {', '.join(families)}: choose one with --benchmark.")
    asked = benchmark or families[0]
    if "@" in asked:
        found = [name for name in known if name == asked and not numbers]
    else:
        found = [name for name in known if name.partition("@")[0] == asked]
        found = [name for name in found if not numbers or by_number(name)[1] in numbers]
    if not found:
        which = f"{asked}, world {', '.join(map(str, numbers))}" if numbers else asked
        raise UsageError(f"{store.root} has no results of {which}; it has {', '.join(known)}.")
    return found
