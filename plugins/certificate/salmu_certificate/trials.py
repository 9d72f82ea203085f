"""What was tried against one person's associations: every metric that looked at their rows. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from salmu_report.people import Group

from salmu_certificate.evidence import Dossier
from salmu_certificate.judge import ThreeClusters, beside_before, beside_clean, never_seen_people
from salmu_certificate.records import Ends, Part, Stand, Three, Trial
from salmu_certificate.wording import asks
from salmu_core.contract.layout import FORGET
from salmu_core.judge.statistics import Clusters, interval
from salmu_core.judge.targets import Column


def part_of(split: str) -> Part:
    """What was to become of a split's rows."""
    return "forget" if split.startswith(FORGET) else "keep" if split.startswith("holdout") else "ordinary"


def by_attribute(evidence: Dossier, split: str, values: Mapping[str, float]) -> Clusters:
    """Rows gathered by attribute; captions that tell nothing private stand each for itself.

    Args:
        evidence: Knows which file name tells what.
        split: The rows' split.
        values: File name -> value.
    """
    fields = evidence.people.fields if part_of(split) != "ordinary" else {}
    return Clusters.of(list(values.values()), [fields.get(name, name) for name in values])


def tried(evidence: Dossier) -> tuple[list[Trial], dict[str, str]]:
    """What each figure says of the person; and, metric by metric, why others say nothing."""
    columns = evidence.run.columns
    measured = {column.name: column for column in columns if _measured(evidence, column.name)}
    ranges: dict[str, tuple[float, float]] = {}
    people: dict[str, int] = {}
    for part in ("forget", "keep", "ordinary"):
        aims = [n for n, c in measured.items() if c.target == "clean" and part_of(evidence.after.rows[n].split) == part]
        ends, count = never_seen_people({name: _people(evidence.clean.figures[name]) for name in aims})
        ranges |= ends
        people |= dict.fromkeys(aims, count)
    for name, (low, high) in ranges.items():
        least, most = measured[name].bounds or (low, high)
        ranges[name] = max(least, low), min(most, high)
    trials = [
        _trial(evidence, column, ranges.get(column.name), people.get(column.name, 0)) for column in measured.values()
    ]
    heard = {trial.metric for trial in trials}
    silent = [c for c in columns if c.leads and c.metric not in heard and _concerns(c, evidence)]
    return trials, {column.metric: why for column in silent if (why := _silent(evidence, column))}


def _measured(evidence: Dossier, column: str) -> bool:
    """Whether all three models have the figure of rows of this person."""
    return all(column in model.rows for model in evidence.models)


def _concerns(column: Column, evidence: Dossier) -> bool:
    """Whether a metric looks at a split that the person is in."""
    splits = {association.split for association in evidence.person.associations}
    if FORGET in splits:
        splits |= {"forget_identity" if evidence.person.group is Group.FORGOTTEN else "forget_association"}
        splits |= {"retain_joint"}
    return bool(splits & column.reads)


def _silent(evidence: Dossier, column: Column) -> str:
    name = column.metric
    if not all(name in model.record.metrics for model in evidence.models):
        return "not measured of this run, or not of both models it is held against"
    for role, model in zip(("Compromised", "the run", "Clean"), evidence.models, strict=True):
        entry = model.record.metrics[name]
        if not entry.values:
            return f"no value of {role}: {entry.error or entry.not_measured}"
    ordinary = column.role == "association" and part_of(column.split) == "ordinary"
    return "" if ordinary else "it kept no value for a row of this person"


def _trial(evidence: Dossier, column: Column, around: tuple[float, float] | None, people: int) -> Trial:
    rows = [model.rows[column.name] for model in evidence.models]
    split, names = rows[1].split, list(rows[1].values)
    models = [{name: measured.values[name] for name in names} for measured in rows]
    own = ThreeClusters(*(by_attribute(evidence, split, model) for model in models))
    to_clean = column.target == "clean"
    difference = interval(own.after - (own.clean if to_clean else own.before))
    return Trial(
        metric=column.metric,
        column=column.name,
        role=column.role,
        what=asks(column),
        part=part_of(split),
        target="clean" if to_clean else "compromised",
        rows=len(names),
        units=len(own.after),
        values=Three(before=own.before.mean, after=own.after.mean, clean=own.clean.mean),
        difference=Ends.of(difference),
        never_seen=around,
        people=people,
        guessing=evidence.after.record.metrics[column.metric].chance.get(column.name),
        stand=beside_clean(own.after.mean, difference, around) if to_clean else beside_before(difference),
    )


def _people(figure: Clusters) -> dict[str, float]:
    """A figure of each person."""
    return dict(zip(figure.names, (figure.sums / figure.counts).tolist(), strict=True))


def unlike(trials: list[Trial]) -> list[str]:
    """Figures of what was to be forgotten that are shown to be unlike Clean's."""
    return [t.column for t in trials if t.part == "forget" and t.stand in (Stand.ABOVE, Stand.BELOW)]
