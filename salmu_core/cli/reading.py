"""What the commands that show results have in common: which ones are meant, and the data behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer

from salmu_core.benchmark.folder import Benchmark, open_benchmark
from salmu_core.benchmark.locate import locate
from salmu_core.cli.output import say
from salmu_core.contract.layout import MANIFEST
from salmu_core.errors import BenchmarkError, SalmuError, UsageError
from salmu_core.judge.compare import compare
from salmu_core.judge.lines import Comparison
from salmu_core.judge.results import Results, Row, by_number, read_results
from salmu_core.judge.targets import Column
from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.show.escape import shell
from salmu_core.store.folders import Store
from salmu_core.study.parsing import parse_numbers
from salmu_core.study.todo import made_by_other_code


@dataclass(frozen=True)
class Reading:
    """A results folder, as far as it is about one benchmark.

    Attributes:
        results: Its runs and reference models.
        folder: The benchmark's folder, where one was named by its path.
    """

    store: Store
    zoo: Zoo
    results: Results
    folder: Path | None = None

    @property
    def figures(self) -> list[Column]:
        """All figures with their targets."""
        return self.results.columns

    @cached_property
    def comparison(self) -> Comparison:
        """The table."""
        return compare(self.results, self.figures)

    @property
    def notice(self) -> str:
        """The sentence the benchmark wants above its tables."""
        if self.folder:
            return open_benchmark(str(self.folder), self.zoo, lambda *_: None).notice
        return notice(self.results.benchmark, self.zoo)

    @property
    def older(self) -> Counter[str]:
        """Method -> number of runs that another version of its code made."""
        methods = self.zoo.methods
        made = [row.record for row in self.results.runs if row.record and row.method in methods]
        return Counter(record.method for record in made if made_by_other_code(record, methods))

    def data(self, world: str) -> Benchmark:
        """The benchmark's data of a world, if they are on this machine and those the results are of.

        Raises:
            BenchmarkError: They are not.
        """
        benchmark = here(world, self.zoo, self.folder)
        scored = {role: model.data_hash for role, model in self.results.references[world].items() if model.data_hash}
        scored |= {
            str(r.folder): r.record.benchmark.data_hash for r in self.results.rows if _valid(r, world) and r.record
        }
        if any(data != benchmark.data_hash for data in scored.values()):
            raise BenchmarkError(
                f"the results of {world} are of other data than {benchmark.folder} holds now: `salmu run` again, into "
                "another --output, or give the folder with those data as --benchmark PATH"
            )
        return benchmark


def _valid(row: Row, world: str) -> bool:
    return row.world == world and row.status == "valid"


def reading(runs: Path, benchmark: str | None, worlds: Sequence[str] = ()) -> Reading:
    """Read what a results folder holds of one benchmark.

    Args:
        benchmark: Its name, with or without a world, or the path of a benchmark folder.
        worlds: Numbers of worlds as they are typed, ``0-4``.

    Raises:
        UsageError: It holds nothing of it, or it is not clear which one is meant.
    """
    zoo, store = discover(), Store(runs)
    numbers = parse_numbers(list(worlds), "--world", "worlds")
    folder = None
    if benchmark and (path := Path(benchmark).expanduser()).is_dir() and benchmark not in store.benchmarks():
        opened = open_benchmark(str(path.resolve()), zoo, lambda *_: None)
        folder, benchmark = opened.folder, opened.name
    return Reading(store, zoo, read_results(store, _choose(store, benchmark, numbers)), folder)


def commands(store: Store, benchmark: str, worlds: Sequence[str] = ()) -> tuple[str, str]:
    """What shows everything a results folder holds of a benchmark: in the terminal, and on a page."""
    elsewhere = store.root != Path("runs")
    only = {name.partition("@")[0] for name in store.benchmarks()} == {benchmark}
    which = [*([] if only else ["--benchmark", benchmark]), *(word for world in worlds for word in ("--world", world))]
    whole = ["salmu", "results", "--full", *(["--output", str(store.root)] if elsewhere else []), *which]
    return shell(whole), shell(["salmu", "report", *([str(store.root)] if elsewhere else []), *which])


def end_if_damaged(results: Results) -> None:
    """Say which results were left out of what was shown because their files are damaged.

    Raises:
        typer.Exit: There are some; the exit code is 1.
    """
    references = [model for roles in results.references.values() for model in roles.values()]
    attacks = [model.attacks.values() for model in references] + [row.attacks.values() for row in results.rows]
    damaged = [row.reason for row in results.rows if row.status == "damaged"]
    damaged += [model.problem for model in references if model.problem]
    damaged += [attack.reason for made in attacks for attack in made if attack.status == "damaged"]
    for reason in dict.fromkeys(damaged):
        say(f"Damaged, and left out: {reason}", stderr=True, style="red")
    if damaged:
        raise typer.Exit(1)


def here(name: str, zoo: Zoo, folder: Path | None = None) -> Benchmark:
    """A benchmark that is already on this machine; nothing is built or fetched.

    Args:
        name: As it stands in a results folder.
        folder: Where it lies, if that is known.

    Raises:
        BenchmarkError: It is not here.
    """
    if folder is None:
        base = name.partition("@")[0]
        if base not in zoo.benchmarks:
            raise BenchmarkError(f"no installed benchmark is called {base}: give its folder as --benchmark PATH")
        located = locate(name, zoo)
        assert located is not None  # it is an installed one
        if not (located[2] / MANIFEST).is_file():
            raise BenchmarkError(
                f"{name} is not on this machine: `salmu doctor --benchmark {name}` builds it, or says how to get it"
            )
    try:
        return open_benchmark(str(folder) if folder else name, zoo, lambda *_: None)
    except SalmuError as error:
        raise BenchmarkError(str(error)) from error


def notice(benchmark: str, zoo: Zoo) -> str:
    """The sentence an installed benchmark wants above its tables."""
    base = benchmark.partition("@")[0]
    located = locate(base, zoo) if base in zoo.benchmarks else None
    return located[0].card.notice if located else ""


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
        chosen = [name for name in known if name == asked and not numbers]
    else:
        chosen = [name for name in known if name.partition("@")[0] == asked]
        chosen = [name for name in chosen if not numbers or by_number(name)[1] in numbers]
    if not chosen:
        which = f"{asked}, world {', '.join(map(str, numbers))}" if numbers else asked
        raise UsageError(f"{store.root} has no results of {which}; it has {', '.join(known)}.")
    return chosen
