"""A line of a table: a method, its settings and a budget over worlds and seeds, with intervals, tests and verdicts.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from salmu_core.judge.diagnosis import Diagnosis
from salmu_core.judge.front import Front
from salmu_core.judge.parts import AT_ONCE, Task
from salmu_core.judge.recoverable import Recovery
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Results, Row
from salmu_core.judge.statistics import CONFIDENCE, Interval, interval_json
from salmu_core.judge.tails import TAILS
from salmu_core.judge.targets import Column
from salmu_core.store.schema import SCHEMA

#: What places are given for: one aim against each failure mode.
LEAK, KNOWLEDGE, HOLDOUT_PLACE = "leak", "knowledge", "holdouts"


@dataclass(frozen=True)
class Figure:
    """One figure of one line.

    Attributes:
        repeats: Its rows, over worlds and seeds.
        gap: What it lies above its target, row by row; None where the target is not known.
        p: Of the gap being 0, adjusted by Holm over all figures of its pillar.
        margin: How far two models of the target's kind lie apart; None with fewer than three worlds.
    """

    repeats: Repeats
    gap: Repeats | None = None
    p: float | None = None
    margin: float | None = None

    @cached_property
    def value(self) -> Interval:
        """The figure with its interval."""
        return self.repeats.interval()

    @cached_property
    def difference(self) -> Interval | None:
        """From its target, with its interval."""
        return self.gap.interval() if self.gap else None

    @cached_property
    def equivalent(self) -> bool | None:
        """Whether it is shown to be at its target, by a two-sided test over worlds; None where that can't be told."""
        if self.gap is None or not self.margin or len(self.gap.worlds) < 2:
            return None
        return self.gap.within(self.margin)

    @property
    def missed(self) -> bool | None:
        """Whether it is shown not to be at its target."""
        return None if self.p is None else self.p < 1 - CONFIDENCE and not self.equivalent

    def as_json(self) -> dict[str, Any]:
        """As ``salmu results --json`` prints it."""
        gap = self.difference
        return {
            **interval_json(self.value),
            "difference": interval_json(gap) if gap else None,
            "p": self.p,
            "margin": self.margin,
            "equivalent": self.equivalent,
        }


@dataclass(frozen=True)
class Line:
    """One method with one configuration at one budget, with one task.

    Attributes:
        label: The method, with the settings that tell its lines apart, and its task.
        rows: Its valid runs.
        tails: Name -> figure, see `salmu_core.judge.tails`.
        task: What its runs were to do; of one request, all figures of forget rows are of the people it was about.
        places: Aim -> first and last place it may have among lines of its budget.
        in_sample: Columns of utility that look at none but pairs it was trained on: they say less than the others.
        fronts: Aim, but for the leak -> where it stands to the front of the leak against this, among the lines of
            its budget; without those that are not measured for all of them.
        recoveries: What attacks bring back, by attack and figure.
        failures: How many failure modes hold, and are open, of those that all lines of its budget are asked for.
        all_kept: What is kept of the similarity of both holdout sets together, which its place among them is given for.
    """

    method: str
    label: str
    config_hash: str
    """`RunRecord.variant` of its runs."""
    budget: float
    rows: tuple[Row, ...]
    figures: Mapping[str, Figure]
    tails: Mapping[str, Figure]
    diagnosis: Diagnosis
    task: Task = AT_ONCE
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    in_sample: frozenset[str] = frozenset()
    fronts: Mapping[str, Front] = field(default_factory=dict)
    recoveries: tuple[Recovery, ...] = ()
    all_kept: Interval | None = None
    failures: tuple[int, ...] = (0, 0)

    @property
    def needs(self) -> str:
        """Which data its runs looked at."""
        return " / ".join(sorted({row.record.needs for row in self.rows if row.record}))

    @property
    def worlds(self) -> int:
        """Number of worlds."""
        return len({row.world for row in self.rows})

    def least_kept(self, group: Sequence[str]) -> Interval | None:
        """Of some holdout figures, what is kept of the one of which least is."""
        kept = self.diagnosis.evidence.retention
        return min((kept[name] for name in group if name in kept), key=lambda share: share.value, default=None)

    @property
    def seconds(self) -> float:
        """Mean wall time of a run."""
        seconds = [row.record.ledger.seconds for row in self.rows if row.record]
        return sum(seconds) / len(seconds)

    def as_json(self) -> dict[str, Any]:
        """As ``salmu results --json`` prints it."""
        evidence = self.diagnosis.evidence
        return {
            "method": self.method,
            "label": self.label,
            "config_hash": self.config_hash.partition("-")[0],
            "retain": self.config_hash.partition("-")[2] or None,
            "budget": self.budget,
            "start": self.task.start or None,
            "requests": self.task.requests,
            "request": self.task.number or None,
            "runs": [[row.world, row.seed] for row in self.rows],
            "figures": {name: figure.as_json() for name, figure in self.figures.items()},
            "tails": {name: interval_json(figure.value) for name, figure in self.tails.items()},
            "leakage_reduction": interval_json(evidence.reduction) if evidence.reduction else None,
            "leakage_bar": evidence.bar,
            "leaks": {
                name: {"reduction": interval_json(x.reduction), "bar": x.bar, "unlike_clean": x.unlike_clean}
                for name, x in evidence.leaks.items()
            },
            "unlike_clean": evidence.unlike_clean,
            "knowledge_change": interval_json(evidence.knowledge) if evidence.knowledge else None,
            "knowledge_changes": {name: interval_json(change) for name, change in evidence.changes.items()},
            "holdout_retention": {name: interval_json(kept) for name, kept in evidence.retention.items()},
            "all_kept": interval_json(self.all_kept) if self.all_kept else None,
            "failure_modes": dict(self.diagnosis.verdicts) or None,
            "only_unlike_clean": self.diagnosis.only_unlike_clean,
            "worse_than_never_seen": self.diagnosis.worse_than_never_seen,
            "places": {aim: list(place) for aim, place in self.places.items()},
            "in_sample": sorted(self.in_sample),
            "fronts": dict(self.fronts),
            "attacks": [recovery.as_json() for recovery in self.recoveries],
            "needs": self.needs,
        }


@dataclass(frozen=True)
class Comparison:
    """A whole table.

    Attributes:
        results: The runs it is made from.
        references: Role -> column, or name of a tail -> figure of the reference model.
        lines: By budget and task, then fewest failure modes, then least leak.
        columns: All figures with their targets.
    """

    results: Results
    references: Mapping[str, Mapping[str, Figure]]
    lines: Sequence[Line]
    columns: Sequence[Column] = ()

    @property
    def notes(self) -> list[str]:
        """What the table can't say, in sentences."""
        notes = list(self.results.problems)
        worlds = len(self.results.worlds)
        if few := [f"{line.label} at {line.budget:g}" for line in self.lines if line.worlds < worlds]:
            notes.append(f"Not in every world: {', '.join(few)}. Their means are over other worlds than the rest.")
        if worlds == 2:
            notes.append("Two worlds are too few to say how far Clean models lie apart: no equivalence can be shown.")
        if worlds == 1:
            notes.append(
                "One world: intervals are over its people. What other people, data and training seeds would give is "
                "not measured, and so no equivalence with Clean can be shown."
            )
        lacking = {metric: why for row in self.results.rows for metric, why in row.not_measured.items()}
        notes += [f"{metric} is not measured, and nothing is ranked by it: {why}." for metric, why in lacking.items()]
        told = (gap for line in self.lines for recovery in line.recoveries for gap in recovery.gaps)
        notes += [f"{gap.rstrip('.')}." for gap in dict.fromkeys(told)]
        if self.lines and all(len(line.rows) == line.worlds for line in self.lines):
            notes.append("One seed: what another seed of the methods would give is not measured.")
        return notes

    def as_json(self) -> dict[str, Any]:
        """What ``salmu results --json`` prints."""
        return {
            "schema": SCHEMA,
            "benchmark": self.results.benchmark,
            "worlds": self.results.worlds,
            "references": {
                role: {name: interval_json(f.value) for name, f in figures.items() if name not in TAILS}
                for role, figures in self.references.items()
            },
            "reference_tails": {
                role: {name: interval_json(f.value) for name, f in figures.items() if name in TAILS}
                for role, figures in self.references.items()
            },
            "lines": [line.as_json() for line in self.lines],
            "runs": [row.as_json() for row in self.results.rows],
            "notes": self.notes,
        }
