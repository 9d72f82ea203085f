"""What is asked for, held against what is installed: the benchmarks of a study, opened, and the runs on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from salmu_core.benchmark.folder import Benchmark, open_benchmark, recommended
from salmu_core.benchmark.parts import part_of
from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.rows import read_rows
from salmu_core.contract.layout import FORGET
from salmu_core.contract.settings import Settings
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import Zoo
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store
from salmu_core.store.starts import WHOLE, RequestRef
from salmu_core.study.asked import Study
from salmu_core.study.attacks import PlannedAttack, make_attacks
from salmu_core.study.limits import UNLIMITED, Limits
from salmu_core.study.plan import Planned, make_plan
from salmu_core.study.starts import find_run, read_start
from salmu_core.train.settings import Compile, Every


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
        checkpoint_every: How often a run is kept while it trains, so that it goes on there if it is interrupted.
        scores: Whether checkpoints are scored, and attacked; else holdouts and Clean are never opened.
    """

    redo: bool = False
    mixed_precision: str | None = None
    threads: int = 1
    processes: int | None = None
    trackers: Sequence[str] = ()
    micro_batch: int = 0
    compile: Compile = "auto"
    checkpoint_every: Every = field(default_factory=Every)
    limits: Limits = UNLIMITED
    scores: bool = True


@dataclass(frozen=True)
class Work:
    """What is asked for on one benchmark."""

    benchmark: Benchmark
    plan: list[Planned]
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


def prepare(
    study: Study, overrides: Mapping[str, Settings], zoo: Zoo, store: Store, reporter: Reporter
) -> tuple[Stream | None, list[Work]]:
    """Open what a study names, and plan its runs: the user's own retain pairs, and what is asked on each benchmark.

    Args:
        study: What is to be run, as `check` found it.
        overrides: Settings that go over the study's, by method.
    """
    stream = Stream.open(study.retain, study.retain_share, reporter.building) if study.retain else None
    retain = stream.record.digest if stream else ""
    attacks = make_attacks(study, zoo, overrides)
    works = []
    for benchmark in _opened(study, zoo, reporter):
        start = read_start(Path(study.start), benchmark, store.root) if study.start else None
        requests = requests_of(benchmark, study.requests)
        plan = make_plan(study, benchmark.name, zoo, overrides, retain, start, requests, benchmark.settings)
        works.append(Work(benchmark, plan, attacks))
    return stream, works


def _opened(study: Study, zoo: Zoo, reporter: Reporter) -> Iterator[Benchmark]:
    """Every benchmark of a study, built where it has to be."""
    for name in study.benchmarks:

        def progress(stage: str, fraction: float, name: str = name) -> None:
            reporter.building(stage if study.worlds is None else f"{name}: {stage}", fraction)

        yield open_benchmark(name, zoo, progress)


def requests_of(benchmark: Benchmark, count: int) -> list[RequestRef]:
    """What is to be forgotten, in so many parts, one after another."""
    if count == 1:
        return [WHOLE]
    forget = read_rows(benchmark.data, FORGET, benchmark.hashes)
    return [part_of(forget, number, count)[0] for number in range(1, count + 1)]
