"""The figures of a table: the reference model whose value each should reach, and what each may be taken for.

They are read from the records, so a results folder is judged alike wherever it lies, whatever is installed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from salmu_core.contract.layout import HOLDOUTS, PILLARS
from salmu_core.contract.specs import MetricRole
from salmu_core.store.records import MetricEntry


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
    metric: str = ""
    role: MetricRole = "other"
    """What it may be taken for: of the first figure its metric's role, of the others nothing."""
    split: str = ""
    """The split whose rows it is about."""
    bounds: tuple[float, float] | None = None
    leads: bool = True
    """Whether it is the first figure of its metric, the one the metric's role is about."""
    ranked: bool = False
    """Whether its metric looks for captions and keeps their ranks."""


def columns(models: Iterable[Mapping[str, MetricEntry]]) -> list[Column]:
    """All figures: efficacy first, utility after, primary ones before others, in the order they were computed.

    Args:
        models: Metric -> entry, of each model; of what several have, the first one's declaration holds.
    """
    entries: dict[str, MetricEntry] = {}
    ranked: set[str] = set()
    for model in models:
        for name, entry in model.items():
            entries.setdefault(name, entry)
        ranked |= {name for name, entry in model.items() if entry.gallery is not None}
    declared = {name: entry.declared for name, entry in entries.items()}
    ordered = sorted(declared, key=lambda name: (PILLARS.index(declared[name].pillar), not declared[name].primary))
    return [
        Column(
            column,
            it.target,
            it.pillar,
            it.primary,
            frozenset(it.reads),
            it.summary,
            metric=name,
            role=it.role if column == it.columns[0] else "other",
            leads=column == it.columns[0],
            split=it.reads[0],
            bounds=it.bounds,
            ranked=name in ranked,
        )
        for name, it in ((name, declared[name]) for name in ordered)
        for column in it.columns
    ]


def having(columns: Sequence[Column], role: MetricRole) -> list[Column]:
    """The figures of a role. Each takes part in the verdict; the first leads: places and pictures are by it."""
    return [column for column in columns if column.role == role]


def leading(columns: Sequence[Column], role: MetricRole, split: str = "") -> str:
    """Name of the figure that leads a role, of one split or of any; empty where there is none."""
    return next((c.name for c in having(columns, role) if split in ("", c.split)), "")


def kept(columns: Sequence[Column]) -> list[Column]:
    """The figures of what must be kept of the holdouts: cosines first, a mean of which hides a reshuffled space."""
    of_holdouts = [c for c in columns if c.role in ("association", "holdout") and c.split in HOLDOUTS]
    return sorted(of_holdouts, key=lambda c: (c.role != "association", HOLDOUTS.index(c.split)))


def leading_kept(columns: Sequence[Column]) -> list[str]:
    """The figure that leads each holdout set, of those that have one."""
    first = {column.split: column.name for column in reversed(kept(columns))}
    return [first[split] for split in HOLDOUTS if split in first]


def called(columns: Sequence[Column], role: MetricRole) -> str:
    """How a role is called in a heading: by its figure, if it has one only."""
    names = [column.name for column in having(columns, role)]
    return names[0] if len(names) == 1 else role
