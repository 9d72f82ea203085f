"""What came of an attack on one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from torch import nn

from salmu_core.store.records import FitRecord, Ledger, MetricEntry, Status


@dataclass(frozen=True)
class AttackOutcome:
    """What came of an attack.

    Attributes:
        status: ``valid``, or what is wrong.
        reason: What is wrong, in a sentence.
        leaked: Numbers of the forget rows that the attacker held.
        metrics: Metric -> its figures over the forget rows that the attacker did not hold; empty unless valid.
        rows: One line for each metric column and row that the attacker did not hold, as in ``per_row.parquet``; of an
            attack that asks otherwise for each query, with its label.
        details: Facts about how it went: the figures of each query, what a readout says of itself.
        ledger: What it cost; leaked pairs are forget pairs.
        fits: What each call of ``fit`` was told.
        scalars: What was logged.
        model: Of an attack on the model, what it left, in eval mode.
        traceback: Of the exception, where there was one.
    """

    status: Status
    reason: str
    leaked: tuple[int, ...]
    metrics: Mapping[str, MetricEntry]
    rows: pa.Table
    ledger: Ledger
    details: Mapping[str, Any] = field(default_factory=dict)
    fits: tuple[FitRecord, ...] = ()
    scalars: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    model: nn.Module | None = None
    traceback: str | None = None

    @property
    def values(self) -> dict[str, float]:
        """Figure -> value over the forget rows that the attacker did not hold."""
        return {column: value for entry in self.metrics.values() for column, value in entry.values.items()}
