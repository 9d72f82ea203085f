"""From runs to lines: grouped, tested against the reference models, judged and placed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from salmu_core.contract.layout import HOLDOUTS, PILLARS, ROLES
from salmu_core.judge.diagnosis import MODES, RECOVERABLE, Verdict, diagnose
from salmu_core.judge.evidence import Derive, all_kept, change, derived, evidence, reduction
from salmu_core.judge.figures import Figures
from salmu_core.judge.front import Front, front
from salmu_core.judge.lines import HOLDOUT_PLACE, KNOWLEDGE, LEAK, Comparison, Figure, Line
from salmu_core.judge.parts import Task
from salmu_core.judge.recoverable import worst
from salmu_core.judge.recovery import distinct, recoveries
from salmu_core.judge.repeats import MIN_WORLDS, Repeats, noise, places, shown_higher
from salmu_core.judge.results import Results, Row
from salmu_core.judge.statistics import Clusters, holm
from salmu_core.judge.targets import Column, leading, leading_kept

#: Method, `RunRecord.variant`, budget and task: what the runs of one line share.
LineKey = tuple[str, str, float, Task]


@dataclass(frozen=True)
class Aim:
    """What lines are placed by: one aim against each failure mode.

    Attributes:
        name: As in `Line.places`.
        figure: Of a run, more is better.
        needs: Holdout figures of which Compromised must be shown to know more than Clean does: else there is nothing
            that could be kept.
    """

    name: str
    figure: Derive
    needs: frozenset[str] = frozenset()


def aims(columns: Sequence[Column]) -> list[Aim]:
    """What there is to be placed by: each by the figure that leads its role."""
    leak, knowing, held = leading(columns, "leak"), leading(columns, "knowledge"), leading_kept(columns)
    found = [Aim(LEAK, reduction(leak))] if leak else []
    found += [Aim(KNOWLEDGE, change(knowing))] if knowing else []
    return found + [Aim(HOLDOUT_PLACE, all_kept(held), frozenset(held))] * (len(held) == len(HOLDOUTS))


@dataclass(frozen=True)
class Ranking:
    """The lines of one budget by one aim.

    Attributes:
        figures: Number of a line -> its figure; those that lack it are not there.
        higher: Pairs of places in `figures` of which the first is shown to be better.
    """

    figures: Mapping[int, Repeats]
    higher: frozenset[tuple[int, int]]

    @property
    def places(self) -> dict[int, tuple[int, int]]:
        """Number of a line -> first and last place it may have."""
        return dict(zip(self.figures, places(self.higher, len(self.figures)), strict=True))


def compare(
    results: Results, columns: Sequence[Column], line_labels: Mapping[tuple[str, str], str] | None = None
) -> Comparison:
    """Gather runs into lines and judge them.

    Args:
        columns: Figures with their targets; one that is none of them has no target.
        line_labels: How lines are called, where these runs are some of others; by default as `labels` has it.
    """
    groups: dict[LineKey, list[Row]] = defaultdict(list)
    for row in results.rows:
        if row.status == "valid" and row.record:
            groups[row.method, row.record.variant, row.record.budget, row.task].append(row)
    line_labels = labels(results.rows) if line_labels is None else line_labels
    references = {role: _reference_repeats(results, role) for role in ROLES}
    beside = {key: results.beside(rows) for key, rows in groups.items()}
    gaps = {key: _gaps(rows, beside[key], columns) for key, rows in groups.items()}
    adjusted = _adjusted(gaps, columns, len(results.worlds))
    targets = {column.name: column.target for column in columns}
    lines = []
    for key, rows in groups.items():
        method, config, budget, task = key
        margins = {role: _margins(_reference_repeats(beside[key], role)) for role in ROLES}
        figures = {
            name: Figure(
                repeats,
                gaps[key].get(name),
                adjusted.get((key, name)),
                margins[targets[name]].get(name) if name in targets else None,
            )
            for name, repeats in _repeats(rows, "figures").items()
        }
        tails = {name: Figure(repeats) for name, repeats in _repeats(rows, "tails").items()}
        back = recoveries(rows, results)
        known = evidence(rows, beside[key], columns, margins["clean"])
        diagnosis = diagnose(replace(known, recoverable=it.verdict) if (it := worst(back)) else known)
        label, in_sample = task.label(line_labels[method, config]), _in_sample(rows, columns)
        line = Line(method, label, config, budget, tuple(rows), figures, tails, diagnosis, task, in_sample=in_sample)
        lines.append(replace(line, recoveries=back))
    placed = []
    for asked in sorted({(line.budget, line.task) for line in lines}):
        same = [line for line in lines if (line.budget, line.task) == asked]
        placed += _placed(same, results.beside([row for line in same for row in line.rows]), aims(columns))
    return Comparison(
        results,
        {role: {name: Figure(repeats) for name, repeats in figures.items()} for role, figures in references.items()},
        sorted(placed, key=_order),
        columns,
    )


def _in_sample(rows: Sequence[Row], columns: Sequence[Column]) -> frozenset[str]:
    """Columns that should show what a method did to other pairs, and look at none but those it trained on."""
    trained = frozenset().union(*(row.record.trained_on for row in rows if row.record))
    return frozenset(c.name for c in columns if c.pillar == "utility" and c.reads and c.reads <= trained)


def labels(rows: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Method and `RunRecord.variant` -> the method, with the settings that tell its runs apart, if it has several.

    Those that `salmu tune` chose are called so.
    """
    variants: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    tuned = set()
    for row in rows:
        if row.record:
            variants[row.method][row.record.variant] = row.record.settings
            if row.record.recommended and row.record.recommended.tuned_on:
                tuned.add((row.method, row.record.variant))
    return {
        (method, variant): " ".join([method, *distinct(settings, [*others.values()])])
        + " (tuned)" * ((method, variant) in tuned)
        for method, others in variants.items()
        for variant, settings in others.items()
    }


def _repeats(rows: Sequence[Row], kind: str) -> dict[str, Repeats]:
    """Figure or tail -> its rows by world and seed, of the runs that have it.

    Args:
        kind: ``figures`` or ``tails``.
    """
    worlds: dict[str, dict[str, dict[int, Clusters]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for name, value in getattr(row, kind).items():
            worlds[name][row.world][row.seed] = value if isinstance(value, Clusters) else Clusters.alone(value)
    return {name: Repeats.of(runs) for name, runs in worlds.items()}


def _reference_repeats(results: Results, role: str) -> dict[str, Repeats]:
    worlds: dict[str, dict[str, dict[int, Clusters]]] = defaultdict(dict)
    for world in results.worlds:
        model = results.references[world][role]
        for name, clusters in model.figures.items():
            worlds[name][world] = {0: clusters}
        for name, value in model.tails.items():
            worlds[name][world] = {0: Clusters.alone(value)}
    return {name: Repeats(runs) for name, runs in worlds.items()}


def _margins(figures: Mapping[str, Repeats]) -> dict[str, float]:
    """Column -> how far two models of one kind lie apart, where several worlds tell."""
    means = {name: [runs[0].mean for runs in repeats.worlds.values()] for name, repeats in figures.items()}
    return {name: noise(values) for name, values in means.items() if len(values) >= MIN_WORLDS}


def _gaps(rows: Sequence[Row], results: Results, columns: Sequence[Column]) -> dict[str, Repeats]:
    """Column -> what its runs lie above its target, row by row."""
    gaps = {}
    for column in columns:

        def gap(run: Figures, clean: Figures, compromised: Figures, column: Column = column) -> Clusters:
            return run[column.name] - (clean if column.target == "clean" else compromised)[column.name]

        if repeats := derived(rows, results, gap):
            gaps[column.name] = repeats
    return gaps


def _adjusted(
    gaps: Mapping[LineKey, Mapping[str, Repeats]], columns: Sequence[Column], worlds: int
) -> dict[tuple[LineKey, str], float]:
    """p of every gap, adjusted by Holm over all lines and columns of one pillar: what one table shows.

    Where there are several worlds, a line that has only one is not shown to differ from anything.
    """
    adjusted: dict[tuple[LineKey, str], float] = {}
    for pillar in PILLARS:
        family = {
            (key, column.name): figures[column.name].p_value()
            if worlds == 1 or len(figures[column.name].worlds) > 1
            else 1.0
            for key, figures in gaps.items()
            for column in columns
            if column.pillar == pillar and column.name in figures
        }
        adjusted |= holm(family)
    return adjusted


def _placed(lines: Sequence[Line], results: Results, aims: Sequence[Aim]) -> list[Line]:
    """The lines of one budget and task, with the places they may have among each other."""
    rankings = {aim.name: _ranking(aim, lines, results) for aim in aims}
    leak, others = rankings.get(LEAK), [name for name in rankings if name != LEAK]
    fronts = {name: _fronts(leak, rankings[name], len(lines)) for name in others} if leak else {}
    kept = rankings[HOLDOUT_PLACE].figures if HOLDOUT_PLACE in rankings else {}
    place = {name: ranking.places for name, ranking in rankings.items()}
    tried = {frozenset((it.attack, it.config_hash) for it in line.recoveries if it.is_judged) for line in lines}
    asked = {*MODES} - ({RECOVERABLE} if len(tried) > 1 else set())  # nobody stands behind others for being attacked
    return [
        replace(
            line,
            failures=tuple(len(asked.intersection(line.diagnosis.modes(v))) for v in (Verdict.HOLDS, Verdict.OPEN)),
            places={name: of_line[n] for name, of_line in place.items() if n in of_line},
            fronts={aim: of_lines[n] for aim, of_lines in fronts.items() if of_lines},
            all_kept=kept[n].interval() if n in kept else None,
        )
        for n, line in enumerate(lines)
    ]


def _ranking(aim: Aim, lines: Sequence[Line], results: Results) -> Ranking:
    figures = {
        n: figure
        for n, line in enumerate(lines)
        if aim.needs <= line.diagnosis.evidence.retention.keys() and (figure := derived(line.rows, results, aim.figure))
    }
    return Ranking(figures, frozenset(shown_higher([*figures.values()])))


def _fronts(leak: Ranking, other: Ranking, lines: int) -> list[Front]:
    """Where each line stands to the front of two aims; nowhere if one lacks a figure: what it is, none can tell."""
    if min(len(leak.figures), len(other.figures)) < lines:
        return []
    both = (leak, other)
    return front([[figure.value for figure in r.figures.values()] for r in both], [r.higher for r in both])


def _order(line: Line) -> tuple[Any, ...]:
    diagnosis = line.diagnosis
    if not diagnosis.judged or diagnosis.evidence.reduction is None:
        return (line.budget, line.task, 1, 0, 0, 0.0, line.label)
    return (line.budget, line.task, 0, *line.failures, -diagnosis.evidence.reduction.value, line.label)
