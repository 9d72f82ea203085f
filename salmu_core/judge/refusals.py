"""Why a run in a results folder is no result. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from salmu_core.store.folders import RUN, read_record
from salmu_core.store.records import INVALID, MetricsRecord, RunRecord, ScoredOn


def refusal(
    record: RunRecord, metrics: MetricsRecord | None, folder: Path, scored_on: Set[ScoredOn], compromised: str
) -> tuple[str, str] | None:
    """What a run is instead, in a word and a sentence; None for a result.

    Args:
        metrics: Of its checkpoint, if there are any.
        scored_on: What the reference models beside it were scored on.
        compromised: Hash of the Compromised among them; empty if it is not there.
    """
    if record.status != "valid":
        return record.status, record.reason or INVALID[record.status]
    other = {scored.data_hash for scored in scored_on} - {record.benchmark.data_hash}
    if other or compromised not in ("", record.benchmark.start_model_hash):
        reason = "it was made on other data, or from another model, than the reference models beside it: run it again"
        return "other data", reason
    if replaced := _replaced(record, folder):
        return "other data", f"it goes back to another checkpoint than {replaced} holds now: run it again"
    if metrics is None or metrics.data_hash != record.benchmark.data_hash:
        return "not scored", "it has no metrics yet: run `salmu run` again"
    if {scored.zeroshot_hash for scored in scored_on} - {metrics.zeroshot_hash}:
        reason = "it was scored with another zero-shot set than the reference models: run `salmu run` again"
        return "not scored", reason
    return None


def _replaced(record: RunRecord, folder: Path) -> str:
    """The first folder, going back, that no longer holds what the next run began with; empty if there is none."""
    for before in reversed(record.start.runs):
        folder = Path(os.path.normpath(folder / "../../../.." / before.folder))
        there = read_record(folder / RUN, RunRecord)
        if there is not None and there.checkpoint_hash != before.checkpoint_hash:
            return before.folder
    return ""
