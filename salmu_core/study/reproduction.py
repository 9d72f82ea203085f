"""What of a run's record makes it again, and the benchmark that results were made on. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from salmu_core.benchmark.folder import Benchmark, open_benchmark
from salmu_core.benchmark.locate import locate
from salmu_core.benchmark.manifest import find_damage, part_files
from salmu_core.benchmark.retain import Stream
from salmu_core.contract.layout import MANIFEST, ROLES
from salmu_core.contract.progress import Progress
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import BenchmarkError, SalmuError, StoreError, UsageError
from salmu_core.judge.inspection import Finding, Inspection
from salmu_core.plugins.zoo import Zoo
from salmu_core.run.accelerator import check_precision
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RUN, read_run
from salmu_core.store.records import RunRecord
from salmu_core.store.starts import given
from salmu_core.study.asked import Study
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


def source_of(folder: Path, record: RunRecord, zoo: Zoo) -> str:
    """The benchmark that a run was made on: an installed one by its name, a folder as the command had it.

    Raises:
        BenchmarkError: It is neither.
    """
    name = record.benchmark.name
    if name.partition("@")[0] in zoo.benchmarks:
        return name
    source = (given(record.command, "--benchmark") or [name])[-1]
    if not Path(source).expanduser().is_dir():
        raise BenchmarkError(
            f"{name}, on which {folder} was made, is neither installed nor a folder at {source}: give the folder with "
            "its data as --benchmark PATH"
        )
    return str(Path(source).expanduser().resolve())


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


def made_on(inspection: Inspection, data: str | None, zoo: Zoo, progress: Progress) -> Benchmark | None:
    """The benchmark of some results, if it is here and whole and they are of it; what is wrong is added to them.

    Every file of it is read; nothing is built or fetched.

    Args:
        inspection: What was found in the results.
        data: Where it lies, if that is known.
    """

    def find(at: Path, what: str, remedy: str, damage: bool = True) -> None:
        inspection.findings.append(Finding(at, what, remedy, damage))

    place = next(iter(inspection.runs), None)
    if place is None:
        return None
    absent, located = "give the folder with its data as --benchmark PATH", None
    try:
        source = data or source_of(place, inspection.runs[place], zoo)
        located = locate(source, zoo)
        if located is not None and not (located[2] / MANIFEST).is_file():
            find(place, "its benchmark is not on this machine: nothing was scored again", absent, damage=False)
            return None
        if located is not None and located[0].card.release is None and (damage := find_damage(located[2])):
            find(place, f"its benchmark is damaged: {damage}", "`salmu run` builds it again")
            return None
        opened = open_benchmark(source, zoo, progress)
    except SalmuError as error:
        what = f"its benchmark can't be opened, and nothing was scored again: {error}"
        find(place, what, absent, damage=located is not None)
        return None
    files = dict(part_files(opened.folder, opened.sources))
    hashes = {}
    for done, (name, path) in enumerate(files.items()):
        progress(f"reading {opened.name}'s data", done / len(files))
        hashes[name] = hash_file(path)
    inspection.looked_at["files of benchmarks"] += len(files)
    benchmark = replace(opened, hashes=hashes)
    made_of = {role: benchmark.model_hash(role) for role in ROLES}
    others = [path for path, run in inspection.runs.items() if run.benchmark.data_hash != benchmark.data_hash]
    others += [p for p, run in inspection.runs.items() if run.benchmark.start_model_hash != made_of["compromised"]]
    others += [
        folder
        for folder, role, metrics in inspection.checkpoints
        if metrics.data_hash != benchmark.data_hash or (role and metrics.checkpoint_hash != made_of[role])
    ]
    remedy = "bring back the data, or give those as --benchmark PATH; or delete it, and `salmu run` makes it anew"
    for folder in dict.fromkeys(others):
        find(folder, f"it is of other data or another model than {opened.folder} holds now", remedy)
    return None if others else benchmark
