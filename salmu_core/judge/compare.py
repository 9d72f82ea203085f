"""From runs to lines: grouped, tested against the reference models, judged and placed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from salmu_core.judge.columns import PILLARS, Column
from salmu_core.judge.diagnosis import Verdict, diagnose
from salmu_core.judge.evidence import all_kept, derived, evidence, knowledge, reduction
from salmu_core.judge.front import Front, front
from salmu_core.judge.lines import HOLDOUT_PLACE, Comparison, Figure, Line
from salmu_core.judge.protocol import HOLDOUTS, KNOWLEDGE, LEAK
from salmu_core.judge.repeats import MIN_WORLDS, Repeats, noise, places, shown_higher
from salmu_core.judge.results import Figures, Results, Row
from salmu_core.judge.statistics import Clusters, Interval, holm


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
