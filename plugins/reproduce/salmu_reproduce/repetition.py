"""What of a run's record makes it again. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from salmu_core.benchmark.folder import Benchmark, open_benchmark
from salmu_core.benchmark.retain import Stream
from salmu_core.errors import BenchmarkError, StoreError, UsageError
from salmu_core.plugins.zoo import Zoo
from salmu_core.run.accelerator import check_precision
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RUN, read_run
from salmu_core.store.records import RunRecord
from salmu_core.store.starts import given
from salmu_core.study.asked import Study
from salmu_core.study.grounds import source_of
from salmu_core.study.prepare import Options
from salmu_core.train.settings import Compile


class Repetition(NamedTuple):
    """What makes a run again; of a sequence of requests, all of it.

    Attributes:
        overrides: Settings of its method.
        options: How it is to be carried out.
        request: Which request of the sequence is the run.
    """

    study: Study
    overrides: dict[str, dict[str, Any]]
    options: Options
    request: int


def repetition(folder: Path, benchmark: str | None, zoo: Zoo, reporter: Reporter) -> Repetition:
    """What a run's record says of how it was made, held against what is here.

    Args:
        folder: The run's, or a copy of it.
        benchmark: Name or folder of the benchmark, where it is not the one that the record names.

    Raises:
        UsageError: It is no run, or its method or benchmark is not installed.
        StoreError: It is damaged, or what it began with is gone.
        BenchmarkError: The data are not there, or others than it was made on.
    """
    record = read_run(folder, copied=True)
    if record is None:
        raise UsageError(f"{folder} is no run folder: it has no {RUN}.")
    zoo.methods[record.method]
    source = benchmark or source_of(folder, record, zoo)
    _check_data(folder, record, open_benchmark(source, zoo, reporter.building))
    study, options = _study(folder, record, source, reporter), _options(folder, record)
    return Repetition(study, {record.method: record.config}, options, record.request.number)


def _check_data(folder: Path, record: RunRecord, benchmark: Benchmark) -> None:
    made_of = record.benchmark
    for then, now, what in (
        (made_of.data_hash, benchmark.data_hash, "on other data"),
        (made_of.start_model_hash, benchmark.model_hash("compromised"), "with another Compromised"),
    ):
        if then != now:
            raise BenchmarkError(
                f"{folder} was made {what} ({then[:12]}) than {benchmark.folder} holds now ({now[:12]}): give the "
                "folder with those as --benchmark PATH"
            )


def _study(folder: Path, record: RunRecord, source: str, reporter: Reporter) -> Study:
    """The study that is this run, or the sequence that it belongs to."""
    asked: dict[str, Any] = {"benchmark": source, "methods": (record.method,), "budgets": (record.budget,)}
    asked |= {"seeds": (record.seed,), "requests": record.request.count, "start": _start(folder, record)}
    if record.retain.shards:
        patterns = given(record.command, "--retain")
        if Stream.open(patterns, record.retain.share, reporter.building).record != record.retain:
            raise BenchmarkError(f"{' '.join(patterns)} holds other retain pairs than {folder} was made with")
        asked |= {"retain": tuple(patterns), "retain_share": record.retain.share}
    return Study.model_validate(asked)


def _start(folder: Path, record: RunRecord) -> str | None:
    """Folder of the run that it, or the first of its sequence, began with; None for Compromised."""
    earlier = record.earlier
    if not earlier:
        return None
    places = [Path(place) for place in given(record.command, "--from")]
    if len(folder.absolute().parents) > 3:
        places.insert(0, folder.absolute().parents[3] / earlier[-1].folder)
    for place in places:
        there = read_run(place, copied=True)
        if there is not None and there.checkpoint_hash == earlier[-1].checkpoint_hash:
            return str(place)
    raise StoreError(
        f"{folder} began with {earlier[-1].label}, which is not at {' or '.join(map(str, places))} any more"
    )


def _options(folder: Path, record: RunRecord) -> Options:
    """As it was carried out."""
    made_with = record.environment
    try:
        threads, micro_batch = int(made_with["threads"]), int(made_with.get("micro-batch", 0))
        precision = None if (told := made_with["precision"]) == "None" else told
    except (KeyError, ValueError) as error:
        raise StoreError(
            f"{folder / RUN} does not say with how many threads and in which precision: {error}"
        ) from error
    check_precision(precision, asked_by=f"{folder / RUN}, precision")
    compiling: Compile = "on" if "compiled" in made_with else "off"
    return Options(mixed_precision=precision, threads=threads, micro_batch=micro_batch, compile=compiling)
