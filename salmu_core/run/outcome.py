"""What comes of one run: for whoever keeps it, judges it or hands it on, and need not make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from salmu_core.store.records import FitRecord, Ledger, Status


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        model: The unlearned model, in eval mode on its device.
        status: ``valid``, or what is wrong.
        reason: What is wrong, in a sentence.
        fits: What each call of ``fit`` was told.
        scalars: What was logged.
        traceback: Of the exception, where there was one.
        micro_batch: Pairs that were embedded at a time in the end; 0 for whole batches.
        compiled: How towers were compiled; empty if they were not.
        state: What the method left for a run that goes on from here, on the CPU; empty unless the run is valid.
    """

    model: nn.Module
    status: Status
    reason: str
    ledger: Ledger
    fits: tuple[FitRecord, ...]
    scalars: dict[str, list[tuple[int, float]]]
    traceback: str | None = None
    micro_batch: int = 0
    compiled: str = ""
    state: Mapping[str, Tensor] = field(default_factory=dict)
