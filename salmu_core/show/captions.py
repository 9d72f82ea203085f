"""The sentences below a table: what its signs mean, which bars the verdicts ask for, and what is not there."""

from __future__ import annotations

from collections.abc import Sequence

from salmu_core.judge.lines import Comparison, Line
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION, MIN_LEAKAGE_REDUCTION
from salmu_core.judge.results import Results, Row
from salmu_core.judge.tails import TAILS
from salmu_core.judge.targets import Column, called

TAIL_MEANINGS = "; ".join(f"{name}: {meaning}" for name, meaning in TAILS.items()) + "."


def places(figures: Sequence[Column]) -> str:
    """What places and fronts are."""
    return (
        "1 - 3: from the first place to the third; whoever is not shown to differ shares one (95%, Holm over all "
        f"pairs). Front of the leak against {called(figures, 'knowledge')}, and against the holdouts: on it (no other "
        "measures at least as well on both and better on one), tied (another does, and is not shown to be better on "
        "either), or off it."
    )


def signs(comparison: Comparison, figures: Sequence[Column]) -> str:
    """What the signs beside figures mean, and what the intervals are over."""
    worlds = len(comparison.results.worlds)
    seeds = any(len(line.rows) > line.worlds for line in comparison.lines)
    over = f"{worlds} worlds" if worlds > 1 else f"the people of one world{' and the seeds' if seeds else ''}"
    in_sample = any(figure.name in line.in_sample for figure in figures for line in comparison.lines)
    return (
        f"±: the longer half of the 95% interval, over {over}. Bold: the reference model that is a figure's target. "
        "*: shown to miss its target (Holm over the figures of its pillar). ≈: shown to be at it."
        + (" °: looks at pairs the method was trained on." if in_sample else "")
    )


def leak_bar(lines: Sequence[Line]) -> str:
    """The leakage reduction that is asked for."""
    bar = min(line.diagnosis.evidence.bar for line in lines)
    return f"{bar:.1%}" if bar < MIN_LEAKAGE_REDUCTION else f"{MIN_LEAKAGE_REDUCTION:.0%}"


def bars(lines: Sequence[Line], figures: Sequence[Column]) -> str:
    """When a line fails in which way."""
    back = recovered_bar(lines)
    attacked = f"Recoverable: an attack without the original brings over {back} back (Holm over all attacks). "
    return (
        f"Ineffective: under {leak_bar(lines)} of the leak gone, or what is left unlike Clean's (≠Clean). "
        f"Catastrophic: {called(figures, 'knowledge')} down by over {MAX_KNOWLEDGE_DROP:.0%}. Over-generalised: under "
        f"{MIN_HOLDOUT_RETENTION:.0%} of the holdouts kept; <0 is worse than never seen. {attacked * bool(back)}?: the "
        "interval lies on both sides. n/a: not measured, or nothing to lose."
    )


def recovered_bar(lines: Sequence[Line]) -> str:
    """The share of the leak that may be recovered; empty where no attack was made that tells."""
    bar = max((it.bar for line in lines for it in line.recoveries if it.verdict), default=None)
    return "" if bar is None else f"{100 * bar:.2g}%"


def errors_of(results: Results) -> list[str]:
    """Which metrics of reference models and of valid runs have no value, in sentences."""
    told = [
        f"{role.capitalize()}, {world}: no {metric}: {entry.error}"
        for world, models in results.references.items()
        for role, model in models.items()
        for metric, entry in model.entries.items()
        if entry.error
    ]
    return told + metric_errors(results.rows)


def metric_errors(rows: Sequence[Row]) -> list[str]:
    """Which metrics of valid runs have no value, in sentences."""
    return [
        f"{row.method}, {row.world}, budget {row.record.budget:g}, seed {row.seed}: no {metric}: {error}"
        for row in rows
        if row.record
        for metric, error in row.errors.items()
    ]
