"""From evidence to a certificate. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from salmu_report.associations import Associations

from salmu_certificate.attempts import attempts
from salmu_certificate.evidence import Dossier
from salmu_certificate.parts import PersonSplit, splits
from salmu_certificate.records import (
    Certificate,
    Ends,
    Hashes,
    Judgement,
    Mode,
    Population,
    Standing,
    Subject,
    Three,
    Worst,
)
from salmu_certificate.summaries import ordinary
from salmu_certificate.trials import tried
from salmu_certificate.wording import DOES_NOT_SHOW, NOT_TRIED, caution, shows
from salmu_core.contract.layout import FORGET
from salmu_core.disk.hashing import hash_json
from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, MODES, OVER_GENERALISED, RECOVERABLE, Verdict
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION
from salmu_core.judge.recoverable import worst
from salmu_core.judge.statistics import Clusters, Interval
from salmu_core.judge.targets import called
from salmu_core.show.words import verdict
from salmu_core.store.schema import RETRIEVED

_ISSUED_WITH = ("salmu-core", "numpy", "scipy", "pyarrow")
_SAYS = {Verdict.HOLDS: "shown", Verdict.OPEN: "can't be told", Verdict.CLEAR: "not shown"}


def build(evidence: Dossier, notice: str, issued: str) -> Certificate:
    """Judge one person's associations and put down everything the verdict rests on.

    Args:
        evidence: What there is.
        notice: The sentence the benchmark wants above its tables.
        issued: When, in UTC, ISO 8601.
    """
    person, record = evidence.person, evidence.run.record
    parts = splits(evidence)
    trials, silent = tried(evidence)
    verdicts = tuple(part.judgement(trials) for part in parts)
    pairs = tuple(pair for part in parts for pair in part.pairs())
    attributes = tuple(dict.fromkeys(pair.field for pair in pairs))
    return Certificate(
        issued=issued,
        issued_with={name: version(name) for name in _ISSUED_WITH},
        person=Subject(
            identity_id=person.identity_id,
            name=person.name,
            group=str(person.group),
            associations=len(pairs),
            attributes=attributes,
            rows_hash=hash_json([[a.split, a.file_name, a.caption] for a in person.associations]),
        ),
        verdicts=verdicts,
        summaries=(*(summary for part in parts for summary in part.summaries()), *ordinary(evidence)),
        standing=tuple(place for part in parts if (place := _standing(evidence, part)) is not None),
        trials=tuple(trials),
        not_measured=silent,
        attempts=attempts(evidence),
        not_tried=NOT_TRIED,
        shows=shows(len(pairs), len(attributes)),
        does_not_show=DOES_NOT_SHOW,
        pairs=pairs,
        population=_population(evidence, verdicts),
        notice=notice,
        benchmark=evidence.run.world,
        method=record.method,
        plugin=f"{record.plugin.distribution} {record.plugin.version}",
        config=record.config,
        budget=record.budget,
        seed=record.seed,
        retain=record.retain.label if record.retain.shards else "",
        made=record.started,
        made_with=record.environment,
        command=record.command,
        hashes=_hashes(evidence),
    )


def _standing(evidence: Dossier, part: PersonSplit) -> Standing | None:
    """Where the person stands among all others of the same split."""
    before, after, _ = (_by_person(model.associations, part.name) for model in evidence.models)
    if before is None or after is None or not before.same_rows(after):
        return None
    rows: Clusters = after if part.name == FORGET else before - after
    means = dict(zip(rows.names, (rows.sums / rows.counts).tolist(), strict=True))
    own = means.pop(f"person {evidence.person.identity_id}", None)
    if own is None or not means:
        return None
    return Standing(
        part=part.part,
        measure="mean reciprocal rank" if part.name == FORGET else "fall of the mean cosine",
        value=own,
        place=1 + sum(other > own for other in means.values()),
        of=1 + len(means),
        better_off=sum(other < own for other in means.values()) / len(means),
        worst=_worst(part) if part.name == FORGET else None,
    )


def _by_person(model: Associations, split: str) -> Clusters | None:
    """What people are compared by: reciprocal ranks of what was to be forgotten, cosines of what was to be kept."""
    if split == FORGET:
        search = model.search(split)
        return Clusters.of(1 / search.ranks.values, search.ranks.people) if search else None
    cosines = model.cosines.get(split)
    return Clusters.of(cosines.values, cosines.people) if cosines else None


def _worst(part: PersonSplit) -> Worst | None:
    if part.ranks is None:
        return None
    after = part.rows(1 / part.ranks).after
    means = (after.sums / after.counts).tolist()
    ranks: dict[str, list[float]] = {}
    for association, rank in zip(part.associations, part.ranks[1].tolist(), strict=True):
        ranks.setdefault(association.field, []).append(rank)
    by_field = {name.removeprefix("person "): mean for name, mean in zip(after.names, means, strict=True)}
    worst = max(ranks, key=lambda name: by_field[name])
    return Worst(
        field=worst,
        mean_reciprocal_rank=by_field[worst],
        best_rank=min(ranks[worst]),
        captions=len(ranks[worst]),
    )


def _population(evidence: Dossier, verdicts: Sequence[Judgement]) -> Population:
    """What became of everybody else, as the table of this run alone has it."""
    diagnosis, columns = evidence.run.line.diagnosis, evidence.run.columns
    measures, knowledge = diagnosis.evidence, called(columns, "knowledge")
    measured: dict[str, dict[str, Interval | None]] = {
        INEFFECTIVE: {"leak gone": measures.reduction},
        CATASTROPHIC: {f"change of {knowledge}": measures.knowledge},
        OVER_GENERALISED: {f"{name} kept": share for name, share in measures.retention.items()},
    }
    asks = {
        INEFFECTIVE: f"under {measures.bar:.1%} of the leak is gone",
        CATASTROPHIC: f"{knowledge} falls by over {MAX_KNOWLEDGE_DROP:.0%}",
        OVER_GENERALISED: f"under {MIN_HOLDOUT_RETENTION:.0%} of what was to be kept is kept",
    }
    if it := worst(evidence.run.line.recoveries):
        measured[RECOVERABLE] = {f"brought back by {it.label}": it.recovered}
        asks[RECOVERABLE] = f"an attack brings over {it.bar:.1%} of the leak back"
    modes = tuple(
        Mode(
            mode=mode,
            asks=asks[mode],
            measured={name: Ends.of(figure) for name, figure in measured[mode].items() if figure is not None},
            says=_SAYS[diagnosis.verdicts[mode]] if mode in diagnosis.verdicts else "not measured",
        )
        for mode in MODES
        if mode in asks
    )
    values = [model.record.values for model in evidence.models]
    modes_shown = [mode.mode for mode in modes if mode.says == "shown"]
    return Population(
        verdict=verdict(diagnosis),
        caution=next(filter(None, (caution(modes_shown, judgement.word) for judgement in verdicts)), ""),
        modes=modes,
        figures={
            name: Three(before=values[0][name], after=values[1][name], clean=values[2][name])
            for name in (column.name for column in columns if column.role in ("leak", "knowledge"))
            if all(name in figures for figures in values)
        },
    )


def _hashes(evidence: Dossier) -> Hashes:
    record = evidence.run.record
    assert record.checkpoint_hash is not None  # a valid run has one
    roles = dict(zip(("before", "after", "clean"), evidence.models, strict=True))
    return Hashes(
        checkpoint=record.checkpoint_hash,
        start_model=record.benchmark.start_model_hash,
        clean_model=evidence.clean.record.checkpoint_hash,
        data=record.benchmark.data_hash,
        method_code=record.plugin.code_hash,
        rows={role: model.record.rows_hash for role, model in roles.items()},
        retrieved={role: model.record.sha256_of(RETRIEVED) for role, model in roles.items()},
        metric_code={
            name: f"{entry.plugin} {entry.code_hash}" for name, entry in sorted(evidence.after.record.metrics.items())
        },
    )
