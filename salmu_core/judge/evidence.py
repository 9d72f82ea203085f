"""The figures a diagnosis looks at, derived row by row from a run and the two reference models. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import mean

from salmu_core.contract.layout import ROLES
from salmu_core.judge.diagnosis import Evidence, unlike
from salmu_core.judge.protocol import HOLDOUTS, KNOWLEDGE, LEAK, MIN_LEAKAGE_REDUCTION, RETRIEVALS
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.results import Figures, Results, Row
from salmu_core.judge.statistics import Clusters

#: ``make(run, clean, compromised)``: rows of a derived figure.
Derive = Callable[[Figures, Figures, Figures], Clusters]


def reduction(run: Figures, _: Figures, compromised: Figures) -> Clusters:
    """Leakage reduction: 1 - MRR / MRR(Compromised)."""
    return (compromised[LEAK] - run[LEAK]).per(compromised[LEAK])


def knowledge(run: Figures, _: Figures, compromised: Figures) -> Clusters:
    """Relative change of general knowledge: GenKnow / GenKnow(Compromised) - 1."""
    return (run[KNOWLEDGE] - compromised[KNOWLEDGE]).per(compromised[KNOWLEDGE])


def retention(name: str) -> Derive:
    """Holdout retention of one figure x: (x - Clean) / (Compromised - Clean)."""

    def kept(run: Figures, clean: Figures, compromised: Figures) -> Clusters:
        return (run[name] - clean[name]).per(compromised[name] - clean[name])

    return kept


def all_kept(run: Figures, clean: Figures, compromised: Figures) -> Clusters:
    """Retention of similarity over both holdout sets, whose people are not the same."""
    return Clusters.joined([retention(name)(run, clean, compromised) for name in HOLDOUTS])


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


def evidence(rows: Sequence[Row], results: Results, margin: float | None) -> Evidence:
    """What there is to judge a line by.

    Args:
        rows: Its valid runs.
        results: Where the reference models are.
        margin: How far the leaks of two Clean models lie apart; None with fewer than three worlds.
    """
    leak_gone, knowledge_change = derived(rows, results, reduction), derived(rows, results, knowledge)
    kept = {
        name: repeats.interval()
        for name in (*HOLDOUTS, *RETRIEVALS)
        if _known(rows, results, name) and (repeats := derived(rows, results, retention(name)))
    }
    gap = derived(rows, results, lambda run, clean, _: run[LEAK] - clean[LEAK])
    unlike_clean = None
    if gap and margin is not None and len(gap.worlds) > 1:
        unlike_clean = unlike(gap.interval(), gap.interval(confidence=0.90), margin)
    return Evidence(
        leak_gone.interval() if leak_gone else None,
        mean(_bar(results, world) for world in {row.world for row in rows}),
        unlike_clean,
        knowledge_change.interval() if knowledge_change else None,
        kept,
        _known(rows, results, LEAK),
    )


def _known(rows: Sequence[Row], results: Results, name: str) -> bool:
    """Whether Compromised is shown to know what Clean does not: else there is nothing to be kept, or forgotten."""
    gap = derived(rows, results, lambda _, clean, compromised: compromised[name] - clean[name])
    return gap is not None and gap.interval().low > 0


def _bar(results: Results, world: str) -> float:
    """The leakage reduction to ask for: no more than Clean reaches, or a model that guesses."""
    clean, compromised = (results.references[world][role] for role in ROLES)
    before = compromised.metrics.get(LEAK)
    leaks = (clean.metrics.get(LEAK), compromised.chance.get(LEAK))
    reached = [1 - leak / before for leak in leaks if before and leak is not None]
    return max(0.0, min([MIN_LEAKAGE_REDUCTION, *reached]))
