"""What came of an attack on one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from salmu_core.attack.scoring import Leakage
from salmu_core.store.attacks import AttackStatus
from salmu_core.store.records import FitRecord, Ledger


@dataclass(frozen=True)
class AttackOutcome(Leakage):
    """What came of an attack.

    Its metrics are none unless it is valid; of several queries, readings or stages it has the rows of each.

    Attributes:
        status: ``valid``, or what is wrong.
        reason: What is wrong, in a sentence.
        leaked: Numbers of the forget rows that the attacker held.
        details: Facts about how it went: the figures of each query, reading or stage, what a readout says of itself.
        ledger: What it cost; leaked pairs are forget pairs.
        not_measured: Label of a query, reading or stage that there is nothing for -> why.
        fits: What each call of ``fit`` was told.
        scalars: What was logged.
        model: Of an attack on the model, what it left, in eval mode.
        traceback: Of the exception, where there was one.
    """

    status: AttackStatus
    reason: str
    leaked: tuple[int, ...]
    ledger: Ledger
    details: Mapping[str, Any] = field(default_factory=dict)
    not_measured: Mapping[str, str] = field(default_factory=dict)
    fits: tuple[FitRecord, ...] = ()
    scalars: Mapping[str, list[tuple[int, float]]] = field(default_factory=dict)
    model: nn.Module | None = None
    traceback: str | None = None
