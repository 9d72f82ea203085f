"""Which metrics tell what leaks under an attack. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterable

from salmu_core.contract.layout import FORGET
from salmu_core.contract.specs import MetricSpec
from salmu_core.plugins.zoo import Declared


def leak_metrics(metrics: Iterable[Declared[MetricSpec]]) -> list[Declared[MetricSpec]]:
    """The metrics of role ``leak``, the leading one first."""
    return sorted((m for m in metrics if m.card.role == "leak"), key=lambda m: not m.card.primary)


def attacked_metrics(metrics: Iterable[Declared[MetricSpec]]) -> list[Declared[MetricSpec]]:
    """What is computed of an attacked checkpoint: leaks, then cosines of forget pairs, which cost nothing beside."""
    known = list(metrics)
    cosines = [m for m in known if m.card.role == "association" and m.card.reads[0].startswith(FORGET)]
    return [*leak_metrics(known), *cosines]
