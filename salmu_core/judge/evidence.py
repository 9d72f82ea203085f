"""The figures a diagnosis looks at, derived row by row from a run and the two reference models. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import mean

from salmu_core.contract.layout import HOLDOUTS, ROLES
from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, OVER_GENERALISED, Evidence, Leak, Verdict, unlike
from salmu_core.judge.figures import Figures
from salmu_core.judge.protocol import MIN_LEAKAGE_REDUCTION
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Results, Row
from salmu_core.judge.statistics import Clusters, Interval
from salmu_core.judge.targets import Column, having, kept

#: ``make(run, clean, compromised)``: rows of a derived figure.
Derive = Callable[[Figures, Figures, Figures], Clusters]


def reduction(name: str) -> Derive:
    """Reduction of a leak x: 1 - x / x(Compromised)."""
    return lambda run, _, compromised: (compromised[name] - run[name]).per(compromised[name])


def change(name: str) -> Derive:
    """Relative change of a figure x: x / x(Compromised) - 1."""
    return lambda run, _, compromised: (run[name] - compromised[name]).per(compromised[name])


def retention(name: str) -> Derive:
    """Holdout retention of one figure x: (x - Clean) / (Compromised - Clean)."""
    return lambda run, clean, compromised: (run[name] - clean[name]).per(compromised[name] - clean[name])


def all_kept(names: Sequence[str]) -> Derive:
    """Retention over all holdout sets, whose people are not the same, by a figure of each."""
    return lambda *models: Clusters.joined([retention(name)(*models) for name in names])


def derived(rows: Sequence[Row], results: Results, make: Derive) -> Repeats | None:
    """A derived figure over worlds and seeds; of runs that lack what it is made from, nothing."""
    worlds: dict[str, dict[int, Clusters]] = defaultdict(dict)
    for row in rows:
        clean, compromised = (results.references[row.world][role].figures for role in ROLES)
        try:
            worlds[row.world][row.seed] = make(row.figures, clean, compromised)
        except (KeyError, ValueError):  # a figure is missing, or of other rows than its reference
            continue
    worlds = {world: seeds for world, seeds in worlds.items() if seeds}
    return Repeats.of(worlds) if worlds else None


def evidence(
    rows: Sequence[Row], results: Results, columns: Sequence[Column], margins: Mapping[str, float]
) -> Evidence:
    """What there is to judge a line by: every figure of each role that the reference models have.

    Args:
        margins: Column -> how far two Clean models lie apart; of what fewer than three worlds have, nothing.
    """
    lacking = set()

    def measured(mode: str, asked: Sequence[str], make: Callable[[str], Derive]) -> dict[str, Interval]:
        made = {name: repeats.interval() for name in asked if (repeats := derived(rows, results, make(name)))}
        if not asked or len(made) < len(asked):
            lacking.add(mode)
        return made

    leaks, knowing = (
        [c.name for c in having(columns, role) if _in_reference(rows, results, c.name)]
        for role in ("leak", "knowledge")
    )
    known = [c for c in kept(columns) if _known(rows, results, c.name)]
    gone = measured(INEFFECTIVE, leaks, reduction)
    changes = measured(CATASTROPHIC, knowing, change)
    retained = measured(OVER_GENERALISED, [c.name for c in known], retention)
    if {c.split for c in known} != set(HOLDOUTS):
        lacking.add(OVER_GENERALISED)
    worlds = {row.world for row in rows}
    found = {
        name: Leak(
            interval,
            mean(_bar(results, world, name) for world in worlds),
            _unlike_clean(rows, results, name, margins.get(name)),
            _known(rows, results, name),
        )
        for name, interval in gone.items()
    }
    return Evidence(found, changes, retained, frozenset(lacking))


def _in_reference(rows: Sequence[Row], results: Results, name: str) -> bool:
    """Whether Compromised of some world of a line has a figure."""
    return any(name in results.references[row.world]["compromised"].figures for row in rows)


def _unlike_clean(rows: Sequence[Row], results: Results, name: str, margin: float | None) -> Verdict | None:
    gap = derived(rows, results, lambda run, clean, _: run[name] - clean[name])
    if gap is None or margin is None or len(gap.worlds) < 2:
        return None
    return unlike(gap.interval(), gap.interval(confidence=0.90), margin)


def _known(rows: Sequence[Row], results: Results, name: str) -> bool:
    """Whether Compromised is shown to know what Clean does not: else there is nothing to be kept, or forgotten."""
    gap = derived(rows, results, lambda _, clean, compromised: compromised[name] - clean[name])
    return gap is not None and gap.interval().low > 0


def _bar(results: Results, world: str, name: str) -> float:
    """The reduction of a leak to ask for: no more than Clean reaches, or a model that guesses."""
    clean, compromised = (results.references[world][role] for role in ROLES)
    before = compromised.metrics.get(name)
    leaks = (clean.metrics.get(name), compromised.chance.get(name))
    reached = [1 - leak / before for leak in leaks if before and leak is not None]
    return max(0.0, min([MIN_LEAKAGE_REDUCTION, *reached]))
