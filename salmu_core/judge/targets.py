"""The figures of a table, and the reference model whose value each should reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from salmu_core.contract.specs import MetricSpec
from salmu_core.plugins import Declared

PILLARS = ("efficacy", "utility", "robustness", "efficiency")


@dataclass(frozen=True)
class Column:
    """One figure: its name in the records, and the reference model whose value it should reach."""

    name: str
    target: str
    pillar: str
    primary: bool
    reads: frozenset[str] = frozenset()
    """Splits it looks at."""
    summary: str = ""
    """What its metric measures, in a sentence."""


def columns(metrics: Mapping[str, Declared[MetricSpec]]) -> list[Column]:
    """All figures: efficacy first, utility after, in the order they were declared."""
    specs = sorted((m.card for m in metrics.values()), key=lambda s: (PILLARS.index(s.pillar), not s.primary))
    return [
        Column(name, spec.target, spec.pillar, spec.primary, frozenset(spec.reads), spec.summary)
        for spec in specs
        for name in spec.columns
    ]
