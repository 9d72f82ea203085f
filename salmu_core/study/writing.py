"""Writes run folders, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from salmu_core.clip.model import Clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.disk.files import new_folder
from salmu_core.disk.tensors import write_tensors
from salmu_core.machine import without_secrets
from salmu_core.run.outcome import Outcome
from salmu_core.store.folders import RUN, TRACEBACK, write_unit
from salmu_core.store.records import RunRecord
from salmu_core.store.schema import STATE


def write_run(folder: Path, record: RunRecord, outcome: Outcome, clip: Clip, stays: Callable[[], bool]) -> None:
    """Write a run: with its checkpoint and what its method keeps, or with the traceback of its exception.

    Args:
        record: What is known of it; what lies beside it is sealed in it.
        clip: What the model began as.
        stays: Whether what stands there by then is another attempt's, and is left.
    """
    if outcome.status != "valid":
        write_failed(folder, record, outcome.traceback, stays)
        return
    with new_folder(folder, stays) as new:
        save_checkpoint(new, outcome.model, clip.config, clip.tokenizer)
        if outcome.state:
            write_tensors(new / STATE, outcome.state)
        write_unit(new, RUN, record)


def write_failed(
    folder: Path, record: RunRecord, traceback: str | None = None, stays: Callable[[], bool] = lambda: False
) -> None:
    """Write a run without a result, and the traceback of its exception; without secrets that an exception told."""
    with new_folder(folder, stays) as new:
        if traceback:
            (new / TRACEBACK).write_text(without_secrets(traceback), encoding="utf-8")
        write_unit(new, RUN, record.model_copy(update={"reason": without_secrets(record.reason)}))
