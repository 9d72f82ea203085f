"""The table's columns, each written once: its name, and what it says of a line, a reference model, a failed run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from salmu_core.judge.columns import Column
from salmu_core.judge.compare import labels
from salmu_core.judge.diagnosis import MODES
from salmu_core.judge.lines import HOLDOUT_PLACE, Comparison, Figure, Line, interval_json
from salmu_core.judge.protocol import (
    HOLDOUTS,
    KNOWLEDGE,
    LEAK,
    MAX_KNOWLEDGE_DROP,
    MIN_HOLDOUT_RETENTION,
    RETRIEVALS,
)
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Interval
from salmu_core.judge.tails import TAILS
from salmu_core.show import words
from salmu_core.show.captions import metric_errors
from salmu_core.show.cells import Cell, Part, TableColumn, cell
from salmu_core.show.words import Word

_ENDS = ("value", "low", "high")
_IN_FULL = (*_ENDS, *("difference", "difference_low", "difference_high"), "p", "margin", "equivalent", "missed")
#: Aim -> its name in full, what its places are called, and its front with the leak.
_AIMS = {
    LEAK: ("leak", "least leak", ""),
    KNOWLEDGE: ("knowledge", "GenKnow kept", "front: GenKnow"),
    HOLDOUT_PLACE: ("holdouts", "holdouts kept", "front: holdouts"),
}


def names(comparison: Comparison) -> Iterator[TableColumn]:
    """Which line, reference model or run it is."""
    part, label_of = Part.FACTS, labels(comparison.results.rows)

    def named(line: Line) -> Cell:
        config_hash, _, retain = line.config_hash.partition("-")
        return cell(line.label, line.method, line.label, config_hash, retain)

    def run_named(row: Row) -> Cell:
        if row.record is None:
            return cell(row.method, row.method, row.method)
        label = label_of[row.method, row.record.variant]
        return cell(label, row.method, label, row.record.config_hash, row.record.retain.digest)

    yield TableColumn(
        "status",
        part,
        line=lambda _: cell("", "valid"),
        role=lambda _: cell("", "reference"),
        run=lambda row: cell(row.status, row.status, tone="bad"),
        fields=("status",),
        left=True,
    )
    yield TableColumn(
        "reason",
        part,
        line=lambda line: cell("", " ".join(metric_errors(line.rows))),
        run=lambda row: cell(row.reason, row.reason),
        fields=("reason",),
        left=True,
    )

    def benchmark(_: object) -> Cell:
        return cell("", comparison.results.benchmark)

    yield TableColumn("benchmark", part, benchmark, benchmark, benchmark, ("benchmark",))
    yield TableColumn(
        "method",
        part,
        line=named,
        role=lambda role: cell(role.capitalize(), role, role.capitalize()),
        run=run_named,
        fields=("method", "label", "config_hash", "retain"),
        left=True,
    )
    yield TableColumn(
        "budget",
        part,
        line=lambda line: cell(f"{line.budget:g}", line.budget),
        run=lambda row: cell(f"{row.record.budget:g}", row.record.budget) if row.record else Cell(),
        fields=("budget",),
        short="b",
        meaning="pairs seen, in units of the forget set",
    )


def runs(comparison: Comparison) -> Iterator[TableColumn]:
    """What a line is the mean of, and what it took."""
    part, worlds = Part.FACTS, comparison.results.worlds
    yield TableColumn(
        "runs",
        part,
        line=lambda line: cell(len(line.rows), len(line.rows)),
        role=lambda _: cell(len(worlds), len(worlds)),
        run=lambda _: cell("", 1),
        fields=("runs",),
        meaning="worlds times seeds",
    )
    yield TableColumn(
        "world",
        part,
        line=lambda line: cell("", " ".join(dict.fromkeys(row.world for row in line.rows))),
        role=lambda _: cell("", " ".join(worlds)),
        run=lambda row: cell(row.world, row.world),
        fields=("worlds",),
        left=True,
    )
    yield TableColumn(
        "seed",
        part,
        line=lambda line: cell("", " ".join(map(str, sorted({row.seed for row in line.rows})))),
        run=lambda row: cell(row.seed, str(row.seed)) if row.record else Cell(),
        fields=("seeds",),
        short="s",
    )
    yield TableColumn(
        "data needed",
        part,
        line=lambda line: cell(line.needs, line.needs),
        run=lambda row: cell(row.record.needs, row.record.needs) if row.record else Cell(),
        fields=("needs",),
        left=True,
        meaning="as the runner counted",
    )
    yield TableColumn(
        "seconds",
        part,
        line=lambda line: cell(f"{line.seconds:.1f}", line.seconds),
        run=lambda row: cell("", row.record.ledger.seconds) if row.record else Cell(),
        fields=("seconds",),
        short="s",
    )


def figure(comparison: Comparison, figure: Column) -> TableColumn:
    """A figure with half of its interval and what is shown of its distance to its target."""
    name = figure.name

    def line(line: Line) -> Cell:
        return _value(line.figures.get(name), name in line.in_sample)

    def role(role: str) -> Cell:
        value = comparison.references.get(role, {}).get(name)
        return _value(value, tone="faint")._replace(target=role == figure.target) if value else Cell()

    fields = tuple(f"{name}.{what}" for what in (*_IN_FULL, "in_sample"))
    return TableColumn(name, Part.FIGURES, line, role, fields=fields, meaning=figure.summary, figure=figure)


def _value(figure: Figure | None, in_sample: bool | None = None, tone: str = "") -> Cell:
    """A figure of a line, or of a reference model, which nobody asks whether it looks at pairs it was trained on."""
    if figure is None:
        return cell("not measured", tone="faint")
    mark = "≈" if figure.equivalent else "*" if figure.missed else ""
    ends = (*_in_full(figure.value), *_in_full(figure.difference))
    return Cell(
        (Word(words.number(figure.value.value), {"≈": "good", "*": "bad"}.get(mark, tone)),),
        mark,
        words.half(figure.value, short=True),
        "°" if in_sample else "",
        fields=(*ends, figure.p, figure.margin, figure.equivalent, figure.missed, in_sample),
    )


def _in_full(interval: Interval | None) -> tuple[float | None, ...]:
    return tuple(interval_json(interval).values()) if interval else (None,) * len(_ENDS)


def evidence(comparison: Comparison) -> Iterator[TableColumn]:
    """What the verdicts rest on."""
    values = {
        role: {name: figure.value.value for name, figure in figures.items()}
        for role, figures in comparison.references.items()
    }

    def against_compromised(name: str, role: str) -> float | None:
        start, value = (values.get(which, {}).get(name) for which in ("compromised", role))
        return value / start - 1 if start and value is not None else None

    def leak(line: Line) -> Cell:
        evidence = line.diagnosis.evidence
        fields = (*_in_full(evidence.reduction), evidence.bar)
        return _share(evidence.reduction, evidence.bar, ".1%")._replace(fields=fields)

    def leak_of(role: str) -> Cell:
        change = against_compromised(LEAK, role)
        return Cell() if change is None else cell(f"{-change + 0.0:.1%}", tone="faint")

    def knowledge(line: Line) -> Cell:
        change = line.diagnosis.evidence.knowledge
        return _share(change, -MAX_KNOWLEDGE_DROP, "+.1%")._replace(fields=_in_full(change))

    def knowledge_of(role: str) -> Cell:
        change = against_compromised(KNOWLEDGE, role)
        return Cell() if change is None else cell(words.percent(change, 1, sign=True), tone="faint")

    fields = tuple(f"leakage_reduction.{end}" for end in _ENDS)
    meaning = "1 - RetFail MRR / Compromised's"
    yield TableColumn("leak gone", Part.EVIDENCE, leak, leak_of, fields=(*fields, "leakage_bar"), meaning=meaning)
    fields = tuple(f"knowledge_change.{end}" for end in _ENDS)
    meaning = "relative to Compromised"
    yield TableColumn("GenKnow change", Part.EVIDENCE, knowledge, knowledge_of, fields=fields, meaning=meaning)
    yield _kept(comparison, "cosine kept", Part.EVIDENCE, HOLDOUTS)
    yield _kept(comparison, "rank kept", Part.EVIDENCE, RETRIEVALS)
    yield _kept(comparison, "holdouts kept", Part.OVERVIEW, (*HOLDOUTS, *RETRIEVALS))


def _kept(comparison: Comparison, header: str, part: Part, group: Sequence[str]) -> TableColumn:
    """The least that is kept of some holdout figures; in full, what is kept of each."""
    in_full = group if part is Part.EVIDENCE else ()

    def line(line: Line) -> Cell:
        retention = line.diagnosis.evidence.retention
        fields = tuple(end for name in in_full for end in _in_full(retention.get(name)))
        return _share(line.least_kept(group), MIN_HOLDOUT_RETENTION, ".0%")._replace(fields=fields)

    return TableColumn(
        header,
        part,
        line,
        lambda role: cell("100%" if role == "compromised" else "0%", tone="faint"),
        fields=tuple(f"holdout_retention.{name}.{end}" for name in in_full for end in _ENDS),
        meaning=f"the lower of {' and '.join(group)}: 100% is Compromised, 0% Clean",
        measured=group != RETRIEVALS or any(line.least_kept(group) for line in comparison.lines),
    )


def _share(interval: Interval | None, bar: float, form: str) -> Cell:
    if interval is None:
        return cell("-", tone="faint")
    tone = "good" if interval.low >= bar else "bad" if interval.high < bar else ""
    return Cell((Word(format(interval.value, form), tone),), half=words.half(interval, form.lstrip("+")))


def failure_modes() -> TableColumn:
    def line(line: Line) -> Cell:
        diagnosis = line.diagnosis
        why = (diagnosis.evidence.unlike_clean, diagnosis.only_unlike_clean, diagnosis.worse_than_never_seen)
        return Cell(words.mode_words(diagnosis), fields=(*map(diagnosis.verdicts.get, MODES), *why))

    why = ("unlike_clean", "only_unlike_clean", "worse_than_never_seen")
    fields = (*(f"failure_modes.{mode}" for mode in MODES), *why)
    return TableColumn("failure modes", Part.VERDICT, line, fields=fields, left=True)


def places() -> Iterator[TableColumn]:
    for aim, (name, header, _) in _AIMS.items():

        def line(line: Line, aim: str = aim) -> Cell:
            place = line.places.get(aim, ())
            return cell(" - ".join(map(str, dict.fromkeys(place))) or "-", *place)

        fields = (f"places.{name}.first", f"places.{name}.last")
        meaning = "who is not shown to differ shares a place"
        yield TableColumn(header, Part.PLACES, line, fields=fields, meaning=meaning)


def fronts() -> Iterator[TableColumn]:
    for aim, (name, _, header) in _AIMS.items():

        def line(line: Line, aim: str = aim) -> Cell:
            where = line.fronts.get(aim)
            return cell(where.value, where.value) if where else cell("-")

        if header:
            meaning = "of the leak against this, at one budget"
            yield TableColumn(header, Part.PLACES, line, fields=(f"fronts.{name}",), left=True, meaning=meaning)


def tails(comparison: Comparison) -> Iterator[TableColumn]:
    """What means hide; no target, and nothing is tested."""

    def cell_of(figure: Figure | None, tone: str = "") -> Cell:
        return _value(figure, tone=tone)._replace(fields=_in_full(figure.value)) if figure else Cell()

    for name, meaning in TAILS.items():

        def line(line: Line, name: str = name) -> Cell:
            return cell_of(line.tails.get(name))

        def role(role: str, name: str = name) -> Cell:
            return cell_of(comparison.references.get(role, {}).get(name), "faint")

        fields = tuple(f"tails.{name}.{end}" for end in _ENDS)
        measured = any(line.tails for line in comparison.lines)
        yield TableColumn(name, Part.TAILS, line, role, fields=fields, meaning=meaning, measured=measured)
