"""From runs to lines: a method, its settings and a budget over worlds and seeds, with intervals, tests and verdicts.

Needs no torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from salmu_core.contract.specs import MetricSpec
from salmu_core.judge.diagnosis import HOLDOUTS, KNOWLEDGE, LEAK, Diagnosis, Verdict, diagnose
from salmu_core.judge.evidence import all_kept, derived, evidence, knowledge, reduction
from salmu_core.judge.front import Front, front
from salmu_core.judge.repeats import MIN_WORLDS, Repeats, noise, places, shown_higher
from salmu_core.judge.results import Figures, Results, Row
from salmu_core.judge.statistics import CONFIDENCE, Clusters, Interval, holm
from salmu_core.judge.tails import TAILS
from salmu_core.plugins import Declared
from salmu_core.store.records import SCHEMA

PILLARS = ("efficacy", "utility", "robustness", "efficiency")
#: What places are given for: one aim against each failure mode.
HOLDOUT_PLACE = "holdouts"


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
    specs = sorted((m.spec for m in metrics.values()), key=lambda s: (PILLARS.index(s.pillar), not s.primary))
    return [
        Column(name, spec.target, spec.pillar, spec.primary, frozenset(spec.reads), spec.summary)
        for spec in specs
        for name in spec.columns
    ]


@dataclass(frozen=True)
class Figure:
    """One figure of one line.

    Attributes:
        study: Its rows, over worlds and seeds.
        gap: What it lies above its target, row by row; None where the target is not known.
        p: Of the gap being 0, adjusted by Holm over all figures of its pillar.
        margin: How far two models of the target's kind lie apart; None with fewer than three worlds.
    """

    study: Repeats
    gap: Repeats | None = None
    p: float | None = None
    margin: float | None = None

    @cached_property
    def value(self) -> Interval:
        """The figure with its interval."""
        return self.study.interval()

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
    """One method with one configuration at one budget.

    Attributes:
        label: The method, with the settings that tell its lines apart.
        rows: Its valid runs.
        figures: Column -> figure.
        tails: Name -> figure, see `salmu_core.judge.tails`.
        places: Aim (a column, or ``holdouts``) -> first and last place it may have among lines of its budget.
        in_sample: Columns of utility that look at none but pairs it was trained on: they say less than the others.
        fronts: ``GenKnow``, ``holdouts`` -> where it stands to the front of the leak against this, among the lines of
            its budget; without those that are not measured for all of them.
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
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    in_sample: frozenset[str] = frozenset()
    fronts: Mapping[str, Front] = field(default_factory=dict)
    all_kept: Interval | None = None

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
        return min((kept[name] for name in group if name in kept), key=lambda each: each.value, default=None)

    @property
    def seconds(self) -> float:
        """Mean wall time of a run."""
        found = [row.record.ledger.seconds for row in self.rows if row.record]
        return sum(found) / len(found)

    def as_json(self) -> dict[str, Any]:
        """As ``salmu results --json`` prints it."""
        found = self.diagnosis.evidence
        return {
            "method": self.method,
            "label": self.label,
            "config_hash": self.config_hash.partition("-")[0],
            "retain": self.config_hash.partition("-")[2] or None,
            "budget": self.budget,
            "runs": [[row.world, row.seed] for row in self.rows],
            "figures": {name: figure.as_json() for name, figure in self.figures.items()},
            "tails": {name: interval_json(figure.value) for name, figure in self.tails.items()},
            "leakage_reduction": interval_json(found.reduction) if found.reduction else None,
            "leakage_bar": found.bar,
            "unlike_clean": found.unlike_clean,
            "knowledge_change": interval_json(found.knowledge) if found.knowledge else None,
            "holdout_retention": {name: interval_json(kept) for name, kept in found.retention.items()},
            "all_kept": interval_json(self.all_kept) if self.all_kept else None,
            "failure_modes": dict(self.diagnosis.verdicts) or None,
            "only_unlike_clean": self.diagnosis.only_unlike_clean,
            "worse_than_never_seen": self.diagnosis.worse_than_never_seen,
            "places": {aim: list(place) for aim, place in self.places.items()},
            "in_sample": sorted(self.in_sample),
            "fronts": dict(self.fronts),
            "needs": self.needs,
        }


@dataclass(frozen=True)
class Comparison:
    """A whole table.

    Attributes:
        results: The runs it is made from.
        references: Role -> column, or name of a tail -> figure of the reference model.
        lines: By budget, then fewest failure modes, then least leak.
    """

    results: Results
    references: Mapping[str, Mapping[str, Figure]]
    lines: Sequence[Line]

    @property
    def notes(self) -> list[str]:
        """What the table can't say, in sentences."""
        found = list(self.results.problems)
        worlds = len(self.results.worlds)
        if few := [f"{line.label} at {line.budget:g}" for line in self.lines if line.worlds < worlds]:
            found.append(f"Not in every world: {', '.join(few)}. Their means are over other worlds than the rest.")
        if worlds == 2:
            found.append("Two worlds are too few to say how far Clean models lie apart: no equivalence can be shown.")
        if worlds == 1:
            found.append(
                "One world: intervals are over its people. What other people, data and training seeds would give is "
                "not measured, and so no equivalence with Clean can be shown."
            )
        lacking = {metric: why for row in self.results.rows for metric, why in row.not_measured.items()}
        found += [f"{metric} is not measured, and nothing is ranked by it: {why}." for metric, why in lacking.items()]
        if self.lines and all(len(line.rows) == line.worlds for line in self.lines):
            found.append("One seed: what another seed of the methods would give is not measured.")
        return found

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


def interval_json(found: Interval) -> dict[str, float | None]:
    """Value and ends; an end that is not known is null."""
    low, high = (end if abs(end) != float("inf") else None for end in (found.low, found.high))
    return {"value": found.value, "low": low, "high": high}


def compare(
    results: Results, shown: Sequence[Column], told_apart: Mapping[tuple[str, str], str] | None = None
) -> Comparison:
    """Gather runs into lines and judge them.

    Args:
        results: The runs.
        shown: Columns with their targets; a figure that is none of them has no target.
        told_apart: How lines are called, where these runs are some of others; by default as `labels` has it.
    """
    groups: dict[tuple[str, str, float], list[Row]] = defaultdict(list)
    for row in results.rows:
        if row.status == "valid" and row.record:
            groups[row.method, row.record.variant, row.record.budget].append(row)
    told_apart = labels(results.rows) if told_apart is None else told_apart
    references = {role: _reference_studies(results, role) for role in ("clean", "compromised")}
    margins = {role: _margins(studies) for role, studies in references.items()}
    gaps = {key: _gaps(rows, results, shown) for key, rows in groups.items()}
    adjusted = _adjusted(gaps, shown, len(results.worlds))
    lines = []
    for key, rows in groups.items():
        method, config, budget = key
        targets = {column.name: column.target for column in shown}
        figures = {
            name: Figure(
                study,
                gaps[key].get(name),
                adjusted.get((key, name)),
                margins[targets[name]].get(name) if name in targets else None,
            )
            for name, study in _studies(rows, "figures").items()
        }
        ends = {name: Figure(study) for name, study in _studies(rows, "tails").items()}
        verdict = diagnose(evidence(rows, results, margins["clean"].get(LEAK)))
        line = Line(method, told_apart[method, config], config, budget, tuple(rows), figures, ends, verdict)
        lines.append(replace(line, in_sample=_in_sample(rows, shown)))
    lines = [line for budget in sorted({line.budget for line in lines}) for line in _placed(lines, budget, results)]
    return Comparison(
        results,
        {role: {name: Figure(study) for name, study in studies.items()} for role, studies in references.items()},
        sorted(lines, key=_order),
    )


def _in_sample(rows: Sequence[Row], shown: Sequence[Column]) -> frozenset[str]:
    """Columns that should show what a method did to other pairs, and look at none but those it trained on."""
    trained = frozenset().union(*(row.record.trained_on for row in rows if row.record))
    return frozenset(c.name for c in shown if c.pillar == "utility" and c.reads and c.reads <= trained)


def labels(rows: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Method and `RunRecord.variant` -> the method, with the settings that tell its runs apart, if it has several."""
    configs: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if row.record:
            configs[row.method][row.record.variant] = row.record.settings
    return {
        (method, digest): " ".join(
            [method, *(f"{name}={mine[name]}" for name in mine if any(o.get(name) != mine[name] for o in of.values()))]
        )
        for method, of in configs.items()
        for digest, mine in of.items()
    }


def _studies(rows: Sequence[Row], what: str) -> dict[str, Repeats]:
    """Figure or tail -> its rows by world and seed, of the runs that have it."""
    found: dict[str, dict[str, dict[int, Clusters]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for name, value in getattr(row, what).items():
            found[name][row.world][row.seed] = value if isinstance(value, Clusters) else Clusters.alone(value)
    return {name: Repeats.of(worlds) for name, worlds in found.items()}


def _reference_studies(results: Results, role: str) -> dict[str, Repeats]:
    found: dict[str, dict[str, dict[int, Clusters]]] = defaultdict(dict)
    for world in results.worlds:
        model = results.references[world][role]
        for name, clusters in model.figures.items():
            found[name][world] = {0: clusters}
        for name, value in model.tails.items():
            found[name][world] = {0: Clusters.alone(value)}
    return {name: Repeats(worlds) for name, worlds in found.items()}


def _margins(studies: Mapping[str, Repeats]) -> dict[str, float]:
    """Column -> how far two models of one kind lie apart, where several worlds tell."""
    means = {name: [runs[0].mean for runs in study.worlds.values()] for name, study in studies.items()}
    return {name: noise(values) for name, values in means.items() if len(values) >= MIN_WORLDS}


def _gaps(rows: Sequence[Row], results: Results, shown: Sequence[Column]) -> dict[str, Repeats]:
    found = {}
    for column in shown:

        def gap(run: Figures, clean: Figures, compromised: Figures, column: Column = column) -> Clusters:
            return run[column.name] - (clean if column.target == "clean" else compromised)[column.name]

        if study := derived(rows, results, gap):
            found[column.name] = study
    return found


def _adjusted(
    gaps: Mapping[Any, Mapping[str, Repeats]], shown: Sequence[Column], worlds: int
) -> dict[tuple[Any, str], float]:
    """p of every gap, adjusted by Holm over all lines and columns of one pillar: what one table shows.

    Where there are several worlds, a line that has only one is not shown to differ from anything.
    """
    found: dict[tuple[Any, str], float] = {}
    for pillar in PILLARS:
        family = {
            (key, column.name): studies[column.name].p_value()
            if worlds == 1 or len(studies[column.name].worlds) > 1
            else 1.0
            for key, studies in gaps.items()
            for column in shown
            if column.pillar == pillar and column.name in studies
        }
        found |= holm(family)
    return found


def _placed(lines: Sequence[Line], budget: float, results: Results) -> list[Line]:
    """The lines of one budget, with the places they may have among each other."""
    mine = [line for line in lines if line.budget == budget]
    ranked: list[dict[str, tuple[int, int]]] = [{} for _ in mine]
    kept: list[Interval | None] = [None for _ in mine]
    values, shown = {}, {}
    for aim, make in ((LEAK, reduction), (KNOWLEDGE, knowledge), (HOLDOUT_PLACE, all_kept)):
        found = [
            (n, study)
            for n, line in enumerate(mine)
            # Where Compromised knows no more of the holdouts than Clean, there is nothing that could be kept.
            if (aim != HOLDOUT_PLACE or set(HOLDOUTS) <= line.diagnosis.evidence.retention.keys())
            and (study := derived(line.rows, results, make))
        ]
        better = shown_higher([study for _, study in found])
        for (n, study), place in zip(found, places(better, len(found)), strict=True):
            ranked[n][aim] = place
            kept[n] = study.interval() if aim == HOLDOUT_PLACE else None
        if len(found) == len(mine):  # what one line lacks, nobody can be held against
            values[aim], shown[aim] = [study.value for _, study in found], better
    fronts: list[dict[str, Front]] = [{} for _ in mine]
    for aim in (KNOWLEDGE, HOLDOUT_PLACE):
        both = (LEAK, aim)
        if values.keys() >= set(both):
            for n, where in enumerate(front([values[each] for each in both], [shown[each] for each in both])):
                fronts[n][aim] = where
    told = zip(mine, ranked, fronts, kept, strict=True)
    return [replace(line, places=p, fronts=f, all_kept=k) for line, p, f, k in told]


def _order(line: Line) -> tuple[Any, ...]:
    found = line.diagnosis
    if not found.judged or found.evidence.reduction is None:
        return (line.budget, 1, 0, 0, 0.0, line.label)
    failed, unsure = len(found.modes(Verdict.HOLDS)), len(found.modes(Verdict.OPEN))
    return (line.budget, 0, failed, unsure, -found.evidence.reduction.value, line.label)
