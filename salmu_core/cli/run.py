"""``salmu run``: from a request to a finished study and its table."""

from __future__ import annotations

import datetime
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmu_core.benchmark.folder import Benchmark, locate, open_benchmark
from salmu_core.benchmark.retain import Stream
from salmu_core.cli.output import console, print_json
from salmu_core.cli.progress import reporter
from salmu_core.errors import UsageError
from salmu_core.judge.columns import columns
from salmu_core.judge.compare import compare
from salmu_core.judge.results import of_plan, read_results
from salmu_core.machine import usable_cores
from salmu_core.plugins import Zoo, discover
from salmu_core.show.terminal import show
from salmu_core.store.folders import Store
from salmu_core.study.plan import Planned, Study, make_plan, parse_budgets, parse_numbers, parse_settings, read_study
from salmu_core.study.processes import share, workers
from salmu_core.study.reporter import Reporter
from salmu_core.study.todo import Outstanding, outstanding
from salmu_core.study.trackers import parse_trackers
from salmu_core.study.tracking import Trackers

if TYPE_CHECKING:
    from accelerate import Accelerator

STOPPED = 130
#: Processes a study on a CPU is spread over unless more are asked for; each holds about a gigabyte.
MAX_PROCESSES = 4


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    methods: list[str]
    everything: bool
    benchmark: str | None
    budgets: list[str]
    seeds: list[str]
    worlds: list[str]
    retain: list[str]
    retain_share: float | None
    settings: list[str]
    config: Path | None
    trackers: list[str]
    output: Path
    redo: bool
    mixed_precision: str | None
    threads: int
    processes: int | None
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
            "budgets": parse_budgets(self.budgets),
            "seeds": parse_numbers(self.seeds, "--seed", "seeds"),
            "worlds": parse_numbers(self.worlds, "--world", "worlds"),
            "methods": self.methods,
            "retain": self.retain,
            "retain_share": self.retain_share,
        }
        changed = {name: value for name, value in given.items() if value}
        if self.everything:
            changed["methods"] = None
        try:
            asked = Study.model_validate({**study.model_dump(), **changed})
        except ValueError as error:
            raise UsageError(
                "Budgets must be above 0, seeds and worlds whole numbers from 0, a share above 0 and at most 1."
            ) from error
        if self.retain_share is not None and not asked.retain:
            raise UsageError("--retain-share says how much of your own pairs to mix in: name them with --retain.")
        return asked


def run_study(request: Request) -> int:
    """Make what is missing, show everything that was asked for; returns the exit code."""
    zoo = discover()
    study, overrides = request.study(), parse_settings(request.settings)
    # Every mistake in the request comes out before anything is built.
    make_plan(study, "checked", zoo, overrides)
    for name in study.benchmarks:
        locate(name, zoo)
    if not zoo.metrics:
        raise UsageError("No metric is installed: pip install salmu-protocol-metrics.")
    trackers = parse_trackers(request.trackers)
    store = Store(request.output)
    index, count = share()
    signal.signal(signal.SIGTERM, _interrupt)
    # What plugins print is no JSON, and no worker's report.
    aside = redirect_stdout(sys.stderr) if request.as_json or index else nullcontext()
    with aside, reporter(index, to_stderr=request.as_json) as telling:
        for row in zoo.problems:
            telling.say(f"Plugin {row.name} of {row.distribution} is left out: {row.problem}")
        try:
            stream = Stream.open(study.retain, study.retain_share, telling.building) if study.retain else None
            retain = stream.told.digest if stream else ""
            work = [
                Work.of(benchmark, make_plan(study, benchmark.name, zoo, overrides, retain), store, zoo, request.redo)
                for benchmark in _opened(study, zoo, telling)
            ]
            for note in (note for each in work for note in each.todo.notes):
                telling.say(note)
            if all(each.todo.nothing for each in work) and count == 1:
                finished, failed = (sum(getattr(w.todo, what) for w in work) for what in ("finished", "failed"))
                done = "the run is" if finished == 1 else f"all {finished} runs are"
                telling.say(f"Nothing to do: {done} finished, in {store.root}.")
                if failed:
                    telling.say(f"{failed} of them without a result, see below: --redo tries again.")
            else:
                _do(work, stream, store, zoo, telling, request, trackers)
        except KeyboardInterrupt:
            telling.say("Stopped. Finished runs are kept; the same command goes on from here.")
            return STOPPED
    if index:
        return 0
    planned = {store.folder(p.key): (p.key.benchmark, p.key.method) for each in work for p in each.plan}
    found = of_plan(read_results(store, [each.benchmark.name for each in work]), planned)
    shown = columns(zoo.metrics)
    if request.as_json:
        print_json(compare(found, shown).as_json())
    else:
        show(console(), compare(found, shown), shown, work[0].benchmark.notice)
    return 1 if found.invalid or any(row.errors for row in found.rows) or (request.everything and zoo.problems) else 0


@dataclass(frozen=True)
class Work:
    """What is to be done on one benchmark."""

    benchmark: Benchmark
    plan: list[Planned]
    todo: Outstanding

    @classmethod
    def of(cls, benchmark: Benchmark, plan: list[Planned], store: Store, zoo: Zoo, redo: bool) -> Work:
        """Compare a plan with what lies in the results folder."""
        return cls(benchmark, plan, outstanding(plan, benchmark, store, list(zoo.metrics.values()), redo))


def _opened(study: Study, zoo: Zoo, telling: Reporter) -> Iterator[Benchmark]:
    """Every benchmark of a study, built where it has to be."""
    for name in study.benchmarks:

        def progress(stage: str, fraction: float, name: str = name) -> None:
            telling.building(stage if study.worlds is None else f"{name}: {stage}", fraction)

        yield open_benchmark(name, zoo, progress)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _do(
    work: Sequence[Work],
    stream: Stream | None,
    store: Store,
    zoo: Zoo,
    telling: Reporter,
    request: Request,
    names: Sequence[str],
) -> None:
    """Do this process's share; where nobody launched several, this one starts the others."""
    index, count = share()
    telling.plan(sum(each.todo.size for each in work))
    accelerator = accelerate(telling, request.mixed_precision, request.threads)
    shares = count if count > 1 else _processes(request.processes, accelerator, [each.todo for each in work])
    from salmu_core.study.execution import Execution

    # Only the first process has a reporter that says things; what a worker prints reaches it.
    trackers = Trackers(names, store.root, partial(print, file=sys.stderr) if index else telling.say)
    for hint in [] if index else trackers.hints(work[0].benchmark.name):
        telling.say(hint)

    def execution(each: Work) -> Execution:
        metrics = list(zoo.metrics.values())
        return Execution(each.benchmark, store, metrics, accelerator, telling, stream, request.redo, trackers)

    with workers(shares if count == 1 else 1, telling):
        mine = [(each, each.todo.share(each.plan, index, shares)) for each in work]
        for each, todo in mine:
            execution(each).unlearn(todo.runs)
        for each, todo in mine:
            execution(each).score([*todo.runs, *todo.checkpoints], todo.references)
        accelerator.wait_for_everyone()


def _processes(asked: int | None, accelerator: Accelerator, todos: Sequence[Outstanding]) -> int:
    """How many processes to spread over: one for an accelerator, else the cores there are."""
    default = 1 if accelerator.device.type != "cpu" else min(usable_cores(), MAX_PROCESSES)
    return max(1, min(asked or default, sum(len(todo.runs) + len(todo.checkpoints) for todo in todos)))


def accelerate(telling: Reporter, mixed_precision: str | None, threads: int) -> Accelerator:
    """Import torch and set up device, precision and threads.

    Raises:
        UsageError: The precision is not one accelerate has on this machine.
    """
    telling.building("loading torch", 1.0)
    # Threads that wait by spinning starve each other when processes share the cores; torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs

    torch.set_num_threads(threads)
    try:
        # Processes that have finished their share wait for the others, however long these take.
        patience = InitProcessGroupKwargs(timeout=datetime.timedelta(days=7))
        # Without an accelerator it has to be told, or several processes would not know of each other.
        cpu = not torch.accelerator.is_available()
        return Accelerator(cpu=cpu, mixed_precision=mixed_precision, kwargs_handlers=[patience])
    except ValueError as error:
        raise UsageError(f"--mixed-precision {mixed_precision}: {error}") from error
