"""``salmu run``: from a request to a finished study and its table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmu_core.benchmark import Benchmark, open_benchmark
from salmu_core.cli.output import console, print_json
from salmu_core.cli.progress import reporter
from salmu_core.errors import UsageError
from salmu_core.outstanding import Outstanding, outstanding
from salmu_core.plan import Study, make_plan, parse_settings, read_study
from salmu_core.plugins import Zoo, discover
from salmu_core.progress import Reporter
from salmu_core.report.table import show
from salmu_core.results import Results, read_results
from salmu_core.store import Store

if TYPE_CHECKING:
    from salmu_core.study import Execution

STOPPED = 130


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    methods: list[str]
    everything: bool
    benchmark: str | None
    budgets: list[float]
    seeds: list[int]
    settings: list[str]
    config: Path | None
    output: Path
    redo: bool
    mixed_precision: str | None
    threads: int
    as_json: bool

    def study(self) -> Study:
        """The study file with the options over it.

        Raises:
            UsageError: The request contradicts itself or has a value that is not allowed.
        """
        if self.methods and self.everything:
            raise UsageError("Name methods, or give --all; not both.")
        if not (self.methods or self.everything or self.config):
            raise UsageError("Name the methods to run, or give --all. `salmu methods` lists them.")
        study = read_study(self.config) if self.config else Study()
        given: dict[str, Any] = {
            "benchmark": self.benchmark,
            "budgets": self.budgets,
            "seeds": self.seeds,
            "methods": self.methods,
        }
        changed = {name: value for name, value in given.items() if value}
        if self.everything:
            changed["methods"] = None
        try:
            return Study.model_validate({**study.model_dump(), **changed})
        except ValueError as error:
            raise UsageError("Budgets must be above 0, seeds whole numbers from 0.") from error


def run_study(request: Request) -> int:
    """Make what is missing, show everything that was asked for; returns the exit code."""
    zoo = discover()
    study, overrides = request.study(), parse_settings(request.settings)
    # Every mistake in the request comes out before anything is built.
    make_plan(study, "checked", zoo, overrides)
    if not zoo.metrics:
        raise UsageError("No metric is installed: pip install salmu-protocol-metrics.")
    store, metrics = Store(request.output), list(zoo.metrics.values())
    main, alone = os.environ.get("RANK", "0") == "0", os.environ.get("WORLD_SIZE", "1") == "1"
    with reporter(quiet=not main, to_stderr=request.as_json) as telling:
        for row in zoo.problems:
            telling.say(f"Plugin {row.name} of {row.distribution} is left out: {row.problem}")
        try:
            benchmark = open_benchmark(study.benchmark, zoo, telling.building)
            plan = make_plan(study, benchmark.name, zoo, overrides)
            todo = outstanding(plan, benchmark, store, metrics, request.redo)
            for note in todo.notes:
                telling.say(note)
            if todo.nothing and alone:
                telling.say(f"Nothing to do: all {todo.finished} runs are finished, in {store.root / benchmark.name}.")
            else:
                execute(benchmark, store, zoo, todo, telling, request.mixed_precision, request.threads, request.redo)
        except KeyboardInterrupt:
            telling.say("Stopped. Finished runs are kept; the same command goes on from here.")
            return STOPPED
    if not main:
        return 0
    folders = {store.folder(planned.key) for planned in plan}
    found = read_results(store, benchmark.name)
    found = Results(found.benchmark, found.references, [row for row in found.rows if row.folder in folders])
    if request.as_json:
        print_json(found.as_json())
    else:
        show(console(), found, zoo.metrics, benchmark.notice)
    return 1 if found.invalid or any(row.errors for row in found.rows) or (request.everything and zoo.problems) else 0


def execute(
    benchmark: Benchmark,
    store: Store,
    zoo: Zoo,
    todo: Outstanding,
    telling: Reporter,
    mixed_precision: str | None,
    threads: int,
    redo: bool = False,
) -> Execution:
    """Do what is outstanding; this is where torch comes in.

    Raises:
        UsageError: The precision is not one accelerate has on this machine.
    """
    telling.building("loading torch", 1.0)
    # Threads that wait by spinning starve each other when several processes share the cores; torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from accelerate import Accelerator

    from salmu_core.study import Execution

    torch.set_num_threads(threads)
    try:
        accelerator = Accelerator(mixed_precision=mixed_precision)
    except ValueError as error:
        raise UsageError(f"--mixed-precision {mixed_precision}: {error}") from error
    execution = Execution(benchmark, store, list(zoo.metrics.values()), accelerator, telling, redo)
    execution.run(todo.runs, todo.checkpoints, todo.references)
    return execution
