"""What was tried against one person's associations: every metric that looked at their rows. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from salmu_certificate.evidence import Dossier
from salmu_certificate.judge import ThreeClusters, beside_before, beside_clean, guessing, never_seen_people
from salmu_certificate.records import Ends, Part, Stand, Three, Trial
from salmu_certificate.wording import ASKS
from salmu_core.benchmark.people import Group
from salmu_core.contract.layout import FORGET
from salmu_core.contract.specs import MetricSpec
from salmu_core.judge.protocol import COSINES, LEAK, NAMING, PROBING, RETRIEVALS, RETRIEVED_FIRST
from salmu_core.judge.statistics import Clusters, interval
from salmu_core.judge.targets import Column
from salmu_core.plugins import Declared
from salmu_core.store.records import MetricEntry

#: Figures that are shares, or as good as: their ranges end at 0 and 1.
_SHARES = (LEAK, RETRIEVED_FIRST, PROBING, NAMING)


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


def tried(evidence: Dossier, metrics: Mapping[str, Declared[MetricSpec]]) -> tuple[list[Trial], dict[str, str]]:
    """What each figure says of the person; and, metric by metric, why others say nothing.

    Args:
        evidence: What there is.
        metrics: Those installed, by name.
    """
    silent = {
        name: "it looked at this person's rows, but is not installed here, so what it should reach is not known"
        for name, entry in evidence.after.record.metrics.items()
        if name not in metrics and any(column in evidence.after.rows for column in entry.values)
    }
    measured = {column.name: column for column in evidence.run.columns if _measured(evidence, column.name)}
    ranges: dict[str, tuple[float, float]] = {}
    people: dict[str, int] = {}
    for part in ("forget", "keep", "ordinary"):
        aims = [n for n, c in measured.items() if c.target == "clean" and part_of(evidence.after.rows[n].split) == part]
        ends, count = never_seen_people({name: _people(evidence.clean.figures[name]) for name in aims})
        ranges |= ends
        people |= dict.fromkeys(aims, count)
    ranges |= {name: (max(0.0, ranges[name][0]), min(1.0, ranges[name][1])) for name in _SHARES if name in ranges}
    trials = [
        _trial(evidence, declared.card, column, ranges.get(column.name), people.get(column.name, 0))
        for column in measured.values()
        for declared in metrics.values()
        if column.name in declared.card.columns
    ]
    for name, declared in metrics.items():
        if _concerns(declared.card, evidence) and not set(declared.card.columns) & set(measured):
            silent[name] = _silent(evidence, name)
    return trials, {name: why for name, why in silent.items() if why}


def _measured(evidence: Dossier, column: str) -> bool:
    """Whether all three models have the figure of rows of this person."""
    return all(column in model.rows for model in evidence.models)


def _concerns(spec: MetricSpec, evidence: Dossier) -> bool:
    """Whether a metric looks at a split that the person is in."""
    splits = {association.split for association in evidence.person.associations}
    if FORGET in splits:
        splits |= {"forget_identity" if evidence.person.group is Group.FORGOTTEN else "forget_association"}
        splits |= {"retain_joint"}
    return bool(splits & set(spec.reads))


def _silent(evidence: Dossier, name: str) -> str:
    if not all(name in model.record.metrics for model in evidence.models):
        return "not measured of this run, or not of both models it is held against"
    for role, model in zip(("Compromised", "the run", "Clean"), evidence.models, strict=True):
        entry = model.record.metrics[name]
        if not entry.values:
            return f"no value of {role}: {entry.error or entry.not_measured}"
    return "" if name == COSINES["retain_joint"] else "it kept no value for a row of this person"


def _trial(
    evidence: Dossier, spec: MetricSpec, column: Column, around: tuple[float, float] | None, people: int
) -> Trial:
    rows = [model.rows[column.name] for model in evidence.models]
    split, names = rows[1].split, list(rows[1].values)
    models = [{name: measured.values[name] for name in names} for measured in rows]
    own = ThreeClusters(*(by_attribute(evidence, split, model) for model in models))
    to_clean = column.target == "clean"
    difference = interval(own.after - (own.clean if to_clean else own.before))
    return Trial(
        metric=spec.name,
        column=column.name,
        what=ASKS.get(spec.name, spec.summary),
        part=part_of(split),
        target="clean" if to_clean else "compromised",
        rows=len(names),
        units=len(own.after),
        values=Three(before=own.before.mean, after=own.after.mean, clean=own.clean.mean),
        difference=Ends.of(difference),
        never_seen=around,
        people=people,
        guessing=_guessing(column.name, evidence.after.record.metrics[spec.name]),
        stand=beside_clean(own.after.mean, difference, around) if to_clean else beside_before(difference),
    )


def _people(figure: Clusters) -> dict[str, float]:
    """A figure of each person."""
    return dict(zip(figure.names, (figure.sums / figure.counts).tolist(), strict=True))


def _guessing(column: str, entry: MetricEntry) -> float | None:
    """What guessing gives, of the figures of which that is known."""
    chance = entry.details.get("chance")
    if isinstance(chance, Mapping) and column in chance:
        return float(chance[column])
    if column == PROBING:
        return 0.5
    if column == NAMING and entry.details.get("classes"):
        return 1 / int(entry.details["classes"])
    if column in RETRIEVALS and entry.details.get("gallery"):
        return guessing(int(entry.details["gallery"]))
    return None


def unlike(trials: list[Trial]) -> list[str]:
    """Figures of what was to be forgotten that are shown to be unlike Clean's."""
    return [t.column for t in trials if t.part == "forget" and t.stand in (Stand.ABOVE, Stand.BELOW)]
