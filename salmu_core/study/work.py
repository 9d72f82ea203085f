"""A whole study, from what is asked for to results that lie in a folder.

Every benchmark is opened, the runs are planned and held against what is there already, and what is missing is shared
out among processes: first all methods unlearn, then all checkpoints are scored, then they are attacked.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from salmu_core.benchmark.folder import Benchmark, open_benchmark, recommended
from salmu_core.benchmark.parts import part_of
from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.rows import read_rows
from salmu_core.contract.layout import FORGET
from salmu_core.contract.settings import Settings
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import Zoo
from salmu_core.run.accelerator import accelerate
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store
from salmu_core.store.starts import WHOLE, RequestRef
from salmu_core.study.attacks import PlannedAttack, make_attacks
from salmu_core.study.on_card import OnCard, on_card
from salmu_core.study.origin import notes
from salmu_core.study.plan import Planned, Study, make_plan
from salmu_core.study.processes import share, spread, workers
from salmu_core.study.starts import find_run, read_start
from salmu_core.study.todo import Outstanding, outstanding
from salmu_core.study.tracking import Trackers
from salmu_core.train.settings import Compile


@dataclass(frozen=True)
class Options:
    """How a study is carried out.

    Attributes:
        redo: Whether finished runs are made again.
        mixed_precision: As accelerate calls it; None as it is configured.
        threads: CPU threads of a process.
        processes: Processes the runs are spread over; None for as many as the machine is good for.
        trackers: Names of experiment trackers that follow every run.
        micro_batch: Pairs that methods embed at a time; 0 for whole batches.
        compile: Whether towers are compiled while they are trained; ``auto`` for where that pays.
    """

    redo: bool = False
    mixed_precision: str | None = None
    threads: int = 1
    processes: int | None = None
    trackers: Sequence[str] = ()
    micro_batch: int = 0
    compile: Compile = "auto"


@dataclass(frozen=True)
class Work:
    """What is to be done on one benchmark."""

    benchmark: Benchmark
    plan: list[Planned]
    todo: Outstanding
    attacks: Sequence[PlannedAttack] = ()


def check(study: Study, overrides: Mapping[str, Settings], zoo: Zoo) -> None:
    """Find every mistake in a request before anything is built.

    Raises:
        UsageError: A method, an attack, a setting, a benchmark or the run to begin with does not exist, or no metric is
            installed.
    """
    make_attacks(study, zoo, overrides)
    for name in study.benchmarks:
        make_plan(study, name, zoo, overrides, recommended=recommended(name, zoo))
    if study.start:
        find_run(Path(study.start))
    if not zoo.metrics:
        raise UsageError("No metric is installed: pip install salmu-protocol-metrics.")


def carry_out(
    study: Study, overrides: Mapping[str, Settings], zoo: Zoo, store: Store, options: Options, reporter: Reporter
) -> list[Work]:
    """Make what is missing of a study, or this process's share of it.

    Args:
        study: What is to be run, as `check` found it.
        overrides: Settings that go over the study's, by method.
        zoo: What is installed.
        store: Where results lie.
        options: How it is carried out.
        reporter: Who is told.

    Raises:
        KeyboardInterrupt: Somebody stopped it; finished runs are kept.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    stream = Stream.open(study.retain, study.retain_share, reporter.building) if study.retain else None
    retain = stream.record.digest if stream else ""
    metrics, attacks = list(zoo.metrics.values()), make_attacks(study, zoo, overrides)
    works = []
    for benchmark in _opened(study, zoo, reporter):
        start = read_start(Path(study.start), benchmark, store.root) if study.start else None
        requests = _requests(benchmark, study.requests)
        plan = make_plan(study, benchmark.name, zoo, overrides, retain, start, requests, benchmark.settings)
        todo = outstanding(plan, benchmark, store, metrics, options.redo, attacks)
        works.append(Work(benchmark, plan, todo, attacks))
    origins = (planned.origin for work in works for planned in work.todo.runs)
    for note in [*(note for work in works for note in work.todo.notes), *notes(origins)]:
        reporter.say(note)
    if all(work.todo.nothing for work in works) and share()[1] == 1:
        _nothing(works, store, reporter)
    else:
        _do(works, stream, store, zoo, options, reporter)
    return works


def _opened(study: Study, zoo: Zoo, reporter: Reporter) -> Iterator[Benchmark]:
    """Every benchmark of a study, built where it has to be."""
    for name in study.benchmarks:

        def progress(stage: str, fraction: float, name: str = name) -> None:
            reporter.building(stage if study.worlds is None else f"{name}: {stage}", fraction)

        yield open_benchmark(name, zoo, progress)


def _requests(benchmark: Benchmark, count: int) -> list[RequestRef]:
    """What is to be forgotten, one after another."""
    if count == 1:
        return [WHOLE]
    forget = read_rows(benchmark.data, FORGET, benchmark.hashes)
    return [part_of(forget, number, count)[0] for number in range(1, count + 1)]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _nothing(works: Sequence[Work], store: Store, reporter: Reporter) -> None:
    """Say that everything was there."""
    finished = sum(work.todo.finished for work in works)
    failed = sum(work.todo.failed for work in works)
    done = "the run is" if finished == 1 else f"all {finished} runs are"
    reporter.say(f"Nothing to do: {done} finished, in {store.root}.")
    if failed:
        reporter.say(f"{failed} of them without a result, see below: --redo tries again.")


def _do(
    works: Sequence[Work], stream: Stream | None, store: Store, zoo: Zoo, options: Options, reporter: Reporter
) -> None:
    """Do this process's share; where nobody launched several, this one starts the others."""
    index, count = share()
    reporter.plan(sum(work.todo.size for work in works))
    reporter.building("loading torch", 1.0)
    accelerator = accelerate(options.mixed_precision, options.threads)
    pieces = sum(work.todo.pieces for work in works)
    asked, together = options.processes, OnCard()
    if count == 1 and not asked and accelerator.device.type == "cuda":
        together = on_card(((work.benchmark, work.plan) for work in works), store, options.mixed_precision)
        asked = together.runs
    shares = count if count > 1 else spread(asked, accelerator, pieces)
    if together.why and shares > 1:
        reporter.say(together.why)
    from salmu_core.study.attacking import attack
    from salmu_core.study.execution import Execution
    from salmu_core.train.compiled import Compiler

    # Only the first process has a reporter that says things; what a worker prints reaches it.
    trackers = Trackers(options.trackers, store.root, partial(print, file=sys.stderr) if index else reporter.say)
    for hint in [] if index else trackers.hints(works[0].benchmark.name):
        reporter.say(hint)
    metrics, compiler = list(zoo.metrics.values()), Compiler(options.compile, reporter.say)

    def execution(work: Work) -> Execution:
        more = options.redo, trackers, options.micro_batch, compiler
        return Execution(work.benchmark, store, metrics, accelerator, reporter, stream, *more)

    with workers(shares if count == 1 else 1, reporter):
        parts = [(work, work.todo.share(work.plan, index, shares)) for work in works]
        for work, todo in parts:
            execution(work).unlearn(todo.runs)
        for work, todo in parts:
            execution(work).score([*todo.runs, *todo.checkpoints], todo.references)
        for work, todo in parts:
            attack(todo.attacks, work.benchmark, store, metrics, accelerator, reporter, options.redo)
        accelerator.wait_for_everyone()
