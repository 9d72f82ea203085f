"""What runs begin with: Compromised, or what another run of the same benchmark left. Nothing here needs torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from salmu_core.benchmark.folder import Benchmark
from salmu_core.errors import StoreError, UsageError
from salmu_core.store.folders import RUN, read_run
from salmu_core.store.records import RunRecord
from salmu_core.store.starts import Ancestor, StartRef


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Attributes:
        ref: As it is recorded.
        model: The open_clip name of its checkpoint.
        folder: Of the run that left it; None for Compromised.
    """

    ref: StartRef
    model: str
    folder: Path | None = None
    record: RunRecord | None = None


def compromised(benchmark: Benchmark) -> Start:
    """The model that every method begins with unless it is told otherwise."""
    ref = StartRef(checkpoint_hash=benchmark.model_hash("compromised"))
    return Start(ref, benchmark.model("compromised"))


def after(folder: Path, record: RunRecord, results: Path) -> Start:
    """The checkpoint of a valid run.

    Args:
        results: The results folder of the run that begins there.
    """
    assert record.checkpoint_hash is not None
    run = Ancestor(
        method=record.method,
        config_hash=record.config_hash,
        budget=record.budget,
        seed=record.seed,
        folder=Path(os.path.relpath(folder, results)).as_posix(),
        request=record.request,
        checkpoint_hash=record.checkpoint_hash,
    )
    ref = StartRef(checkpoint_hash=record.checkpoint_hash, role="run", runs=(*record.start.runs, run))
    return Start(ref, str(folder), folder, record)


def find_run(folder: Path) -> Path:
    """Where ``--from`` looks.

    Raises:
        UsageError: No run lies there.
    """
    folder = folder.expanduser().absolute()
    if not (folder / RUN).is_file():
        raise UsageError(
            f"--from {folder}: there is no {RUN}. A run begins with Compromised or with what another run left, whose "
            f"{RUN} says what it has seen: Clean, and models of which nobody can tell that, are refused. Give a run's "
            "folder, runs/BENCHMARK/METHOD/CONFIG/b5-s0, or a copy of it."
        )
    return folder


def read_start(folder: Path, benchmark: Benchmark, results: Path) -> Start:
    """The run that ``--from`` names.

    Args:
        folder: A run's, or a copy of it: a checkpoint with its ``run.json``.
        results: The results folder of the run that is to begin there.

    Raises:
        UsageError: It is no run of this benchmark, or has no result.
        StoreError: It is damaged.
        SchemaError: It is of another release.
    """
    folder = find_run(folder)
    try:
        record = read_run(folder, copied=True)
    except StoreError as error:
        raise StoreError(f"--from {folder}: {error}") from error
    assert record is not None  # the file was there
    if record.status != "valid" or record.checkpoint_hash is None:
        why = record.reason or "it has no checkpoint"
        raise UsageError(f"--from {folder}: it is {record.status} ({why}). Only a valid run can be begun with.")
    made_of = (record.benchmark.data_hash, record.benchmark.start_model_hash)
    if made_of != (benchmark.data_hash, benchmark.model_hash("compromised")):
        raise UsageError(
            f"--from {folder}: it is a run on {record.benchmark.name}, on other data or from another Compromised than "
            f"{benchmark.name} here. Give a run of the same benchmark and world, or its --benchmark."
        )
    return after(folder, record, results)
