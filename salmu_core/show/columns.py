"""The table's columns, each written once: its name, and what it says of a line, a reference model, a failed run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from salmu_core.judge.compare import labels
from salmu_core.judge.diagnosis import MODES
from salmu_core.judge.lines import HOLDOUT_PLACE, KNOWLEDGE, LEAK, Comparison, Figure, Line
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION
from salmu_core.judge.recoverable import worst
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Interval
from salmu_core.judge.tails import TAILS
from salmu_core.judge.targets import Column, called, kept, leading
from salmu_core.show import words
from salmu_core.show.captions import metric_errors
from salmu_core.show.cells import ENDS, Cell, Part, TableColumn, cell, ends_of, silence
from salmu_core.show.words import Word
from salmu_core.store.records import RunRecord

Says = Callable[[Any], Cell]
_IN_FULL = (*ENDS, *("difference", "difference_low", "difference_high"), "p", "margin", "equivalent", "missed")


def facts(comparison: Comparison) -> list[TableColumn]:
    """Which line, reference model or run it is, what it is the mean of, and what it took."""
    label_of, worlds = labels(comparison.results.rows), comparison.results.worlds

    def named(line: Line) -> Cell:
        config_hash, _, retain = line.config_hash.partition("-")
        return cell(line.label, line.method, line.label, config_hash, retain)

    def role_named(role: str) -> Cell:
        return cell(role.capitalize(), role, role.capitalize())

    def run_named(run: Row) -> Cell:
        if run.record is None:
            return cell(run.method, run.method, run.method)
        label = run.task.label(label_of[run.method, run.record.variant])
        return cell(label, run.method, label, run.record.config_hash, run.record.retain.digest)

    def in_full(value: object) -> Callable[[object], Cell]:
        return lambda _: cell("", value)

    def recorded(say: Callable[[RunRecord], Cell]) -> Callable[[Row], Cell]:
        return lambda run: say(run.record) if run.record else Cell()

    def fact(header: str, line: Says, role: Says, run: Says, fields: tuple[str, ...], **more: Any) -> TableColumn:
        return TableColumn(header, Part.FACTS, line, role, run, fields, **more)

    name = in_full(comparison.results.benchmark)
    # fmt: off
    return [
        fact("status", in_full("valid"), in_full("reference"), lambda run: cell(run.status, run.status, tone="bad"),
             fields=("status",), left=True),
        fact("reason", lambda line: cell("", " ".join(metric_errors(line.rows))), silence,
             lambda run: cell(run.reason, run.reason), fields=("reason",), left=True),
        fact("benchmark", name, name, name, fields=("benchmark",)),
        fact("method", named, role_named, run_named, fields=("method", "label", "config_hash", "retain"), left=True),
        fact("budget", lambda line: cell(f"{line.budget:g}", line.budget), silence,
             recorded(lambda record: cell(f"{record.budget:g}", record.budget)), fields=("budget",),
             short="b", meaning="pairs seen, in units of the forget set"),
        fact("start", lambda line: cell(line.task.start, line.task.start), silence,
             recorded(lambda record: cell(record.origin, record.origin)), fields=("start",), left=True),
        fact("request", lambda line: cell(line.task.request, line.task.request), silence,
             lambda run: cell(run.task.request, run.task.request), fields=("request",), left=True),
        fact("runs", lambda line: cell(len(line.rows), len(line.rows)), lambda _: cell(len(worlds), len(worlds)),
             in_full(1), fields=("runs",), meaning="worlds times seeds"),
        fact("world", lambda line: cell("", " ".join(dict.fromkeys(row.world for row in line.rows))),
             in_full(" ".join(worlds)), lambda run: cell(run.world, run.world), fields=("worlds",), left=True),
        fact("seed", lambda line: cell("", " ".join(map(str, sorted({row.seed for row in line.rows})))), silence,
             recorded(lambda record: cell(record.seed, str(record.seed))), fields=("seeds",), short="s"),
        fact("data needed", lambda line: cell(line.needs, line.needs), silence,
             recorded(lambda record: cell(record.needs, record.needs)), fields=("needs",),
             meaning="as the runner counted", left=True),
        fact("seconds", lambda line: cell(f"{line.seconds:.1f}", line.seconds), silence,
             recorded(lambda record: cell("", record.ledger.seconds)), fields=("seconds",), short="s"),
    ]
    # fmt: on


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
    ends = (*ends_of(figure.value), *ends_of(figure.difference))
    fields = (*ends, figure.p, figure.margin, figure.equivalent, figure.missed, in_sample)
    word = Word(words.number(figure.value.value), {"≈": "good", "*": "bad"}.get(mark, tone))
    return Cell((word,), mark, words.half(figure.value, short=True), "°" if in_sample else "", fields=fields)


def evidence(comparison: Comparison) -> Iterator[TableColumn]:
    """What the verdicts rest on."""

    def against_compromised(name: str, role: str) -> float | None:
        start, figure = (comparison.references.get(which, {}).get(name) for which in ("compromised", role))
        return figure.value.value / start.value.value - 1 if figure and start and start.value.value else None

    def leak(line: Line) -> Cell:
        evidence = line.diagnosis.evidence
        fields = (*ends_of(evidence.reduction), evidence.bar)
        return _share(evidence.reduction, evidence.bar, ".1%")._replace(fields=fields)

    def leak_of(role: str) -> Cell:
        change = against_compromised(leading(comparison.columns, "leak"), role)
        return Cell() if change is None else cell(f"{-change + 0.0:.1%}", tone="faint")

    def knowledge(line: Line) -> Cell:
        change = line.diagnosis.evidence.knowledge
        return _share(change, -MAX_KNOWLEDGE_DROP, "+.1%")._replace(fields=ends_of(change))

    def knowledge_of(role: str) -> Cell:
        change = against_compromised(leading(comparison.columns, "knowledge"), role)
        return Cell() if change is None else cell(words.percent(change, 1, sign=True), tone="faint")

    fields = tuple(f"leakage_reduction.{end}" for end in ENDS)
    figures = comparison.columns
    meaning = f"1 - {called(figures, 'leak')} / Compromised's"
    yield TableColumn("leak gone", Part.EVIDENCE, leak, leak_of, fields=(*fields, "leakage_bar"), meaning=meaning)
    fields = tuple(f"knowledge_change.{end}" for end in ENDS)
    meaning = "relative to Compromised"
    yield TableColumn(change_header(figures), Part.EVIDENCE, knowledge, knowledge_of, fields=fields, meaning=meaning)
    for header, group in kept_groups(figures).items():
        yield _kept(comparison, header, Part.EVIDENCE, group)
    yield _kept(comparison, "holdouts kept", Part.OVERVIEW, [column.name for column in kept(figures)])

    def recovered(line: Line) -> Cell:
        it = worst(line.recoveries)
        return cell("-" if it is None or it.recovered is None else words.percent(it.recovered.value))

    yield TableColumn("recovered", Part.OVERVIEW, recovered, meaning="of the leak, by the worst attack")


def change_header(figures: Sequence[Column]) -> str:
    """How the change of general knowledge is headed: by its figure, where there is one only."""
    return f"{called(figures, 'knowledge')} change"


def kept_groups(figures: Sequence[Column]) -> dict[str, list[str]]:
    """Heading -> holdout figures that belong together: by cosine, by rank, and whatever else there is."""
    groups: dict[str, list[str]] = {"cosine kept": []}
    for column in kept(figures):
        kind = "cosine" if column.role == "association" else "rank" if column.ranked else "otherwise"
        groups.setdefault(f"{kind} kept", []).append(column.name)
    return groups


def _kept(comparison: Comparison, header: str, part: Part, group: Sequence[str]) -> TableColumn:
    """The least that is kept of some holdout figures; in full, what is kept of each."""
    in_full = group if part is Part.EVIDENCE else ()

    def line(line: Line) -> Cell:
        retention = line.diagnosis.evidence.retention
        fields = tuple(end for name in in_full for end in ends_of(retention.get(name)))
        return _share(line.least_kept(group), MIN_HOLDOUT_RETENTION, ".0%")._replace(fields=fields)

    def role(role: str) -> Cell:
        return cell("100%" if role == "compromised" else "0%", tone="faint")

    fields = tuple(f"holdout_retention.{name}.{end}" for name in in_full for end in ENDS)
    meaning = f"the lower of {' and '.join(group)}: 100% is Compromised, 0% Clean"
    measured = header != "rank kept" or any(line.least_kept(group) for line in comparison.lines)
    return TableColumn(header, part, line, role, fields=fields, meaning=meaning, measured=measured)


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


def places(comparison: Comparison) -> Iterator[TableColumn]:
    """Among the lines of one budget, by each aim; and the front of the leak against the others."""
    knowledge = called(comparison.columns, "knowledge")
    headers = {LEAK: "least leak", KNOWLEDGE: f"{knowledge} kept", HOLDOUT_PLACE: "holdouts kept"}
    for aim, header in headers.items():

        def place(line: Line, aim: str = aim) -> Cell:
            ends = line.places.get(aim, ())
            return cell(" - ".join(map(str, dict.fromkeys(ends))) or "-", *ends)

        fields = (f"places.{aim}.first", f"places.{aim}.last")
        yield TableColumn(
            header, Part.PLACES, place, fields=fields, meaning="who is not shown to differ shares a place"
        )
    for aim, name in {KNOWLEDGE: knowledge, HOLDOUT_PLACE: "holdouts"}.items():

        def front(line: Line, aim: str = aim) -> Cell:
            return cell(line.fronts[aim].value, line.fronts[aim].value) if aim in line.fronts else cell("-")

        meaning = "of the leak against this, at one budget"
        yield TableColumn(f"front: {name}", Part.PLACES, front, fields=(f"fronts.{aim}",), left=True, meaning=meaning)


def tails(comparison: Comparison) -> Iterator[TableColumn]:
    """What means hide; no target, and nothing is tested."""

    def cell_of(figure: Figure | None, tone: str = "") -> Cell:
        return _value(figure, tone=tone)._replace(fields=ends_of(figure.value)) if figure else Cell()

    for name, meaning in TAILS.items():

        def line(line: Line, name: str = name) -> Cell:
            return cell_of(line.tails.get(name))

        def role(role: str, name: str = name) -> Cell:
            return cell_of(comparison.references.get(role, {}).get(name), "faint")

        fields = tuple(f"tails.{name}.{end}" for end in ENDS)
        measured = any(line.tails for line in comparison.lines)
        yield TableColumn(name, Part.TAILS, line, role, fields=fields, meaning=meaning, measured=measured)
