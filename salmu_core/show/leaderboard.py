"""The table as Markdown, for a paper or a README. Every text that comes from data is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from salmu_core.judge.columns import Column
from salmu_core.judge.compare import labels
from salmu_core.judge.lines import HOLDOUT_PLACE, Comparison, Figure, Line
from salmu_core.judge.protocol import (
    HOLDOUTS,
    KNOWLEDGE,
    LEAK,
    MAX_KNOWLEDGE_DROP,
    MIN_HOLDOUT_RETENTION,
    MIN_LEAKAGE_REDUCTION,
    RETRIEVALS,
)
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Interval
from salmu_core.judge.tails import TAILS
from salmu_core.show import words as text
from salmu_core.show.escape import Markdown, plain
from salmu_core.show.words import number

ROLES = ("compromised", "clean")
#: Between a figure and half of its interval, which stay on one line.
_GIVE_OR_TAKE = "\u00a0±\u00a0"
#: Aim -> what its places are called.
_AIMS = {LEAK: "least leak", KNOWLEDGE: "GenKnow kept", HOLDOUT_PLACE: "holdouts kept"}


class _Shown(NamedTuple):
    """A column of a Markdown table: what it says of a line, and of a reference model."""

    header: str
    line: Callable[[Line], object]
    role: Callable[[str], object] = lambda _: ""
    left: bool = False


def markdown(found: Comparison, shown: Sequence[Column], notice: str = "", command: str = "") -> str:
    """GitHub-flavoured Markdown: primary figures and verdicts, places, all other figures, and what is no result.

    Args:
        found: The table.
        shown: Figures with their targets.
        notice: The sentence the benchmark wants above its tables.
        command: What makes the same text again.
    """
    results, lines = found.results, found.lines
    parts = [f"> {plain(notice)}"] if notice.strip() else []
    if lines:
        first, rest = [c for c in shown if c.primary], [c for c in shown if not c.primary]
        runs = _Shown("runs", lambda line: len(line.rows), lambda _: len(results.worlds))
        verdict = _Shown("failure modes", lambda line: text.modes(line.diagnosis), left=True)
        parts += _table(found, "primary figures and verdicts", [runs, *_figures(found, first), verdict])
        parts += [_marks(found, shown), _bars(lines)]
        parts += _table(found, "what the verdicts rest on, and what it took", _evidence(lines), roles=())
        parts += _table(found, "places at equal budget", _places(), roles=())
        parts.append(_PLACES)
        for pillar in dict.fromkeys(c.pillar for c in rest):
            mine = [c for c in rest if c.pillar == pillar]
            targets = ", ".join(sorted({c.target.capitalize() for c in mine}))
            parts += _table(found, f"other figures of {pillar} (target: {targets})", _figures(found, mine))
        if any(line.tails for line in lines):
            parts += _table(found, "tails", _tails(found))
            parts.append(plain("; ".join(f"{name}: {what}" for name, what in TAILS.items()) + "."))
    if results.invalid:
        told, header = labels(results.rows), ("method", "world", "budget", "seed", "status", "reason")
        parts.append(_title(found, "no result, not ranked"))
        parts.append(_grid(header, [False] * len(header), [_invalid(row, told) for row in results.invalid]))
    if not results.rows:
        parts.append("There are no runs.")
    if notes := [*(found.notes if lines else ()), *metric_errors(results.rows)]:
        parts.append("\n".join(f"* {plain(note)}" for note in notes))
    if command:
        parts.append(f"Made by {_code(command)}.")
    return "\n\n".join(parts) + "\n"


def metric_errors(rows: Sequence[Row]) -> list[str]:
    """Which metrics of valid runs have no value, in sentences."""
    return [
        f"{row.method}, {row.world}, budget {row.record.budget:g}, seed {row.seed}: no {metric}: {error}"
        for row in rows
        if row.record
        for metric, error in row.errors.items()
    ]


def _title(found: Comparison, text: str) -> str:
    return f"**{plain(f'{found.results.benchmark}: {text}')}**"


def _table(found: Comparison, title: str, more: Iterable[_Shown], roles: Sequence[str] = ROLES) -> list[str]:
    """A title and a table: whose row it is, and ``more`` of it."""
    known = [
        _Shown("method", lambda line: line.label, str.capitalize, left=True),
        _Shown("budget", lambda line: f"{line.budget:g}"),
    ]
    columns = [*known, *more]
    rows = [[c.role(role) for c in columns] for role in roles]
    rows += [[c.line(line) for c in columns] for line in found.lines]
    header, right = [c.header for c in columns], [not c.left for c in columns]
    return [_title(found, title), _grid(header, right, rows)]


def _grid(header: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[object]]) -> str:
    lines = [[plain(cell) for cell in header], ["---:" if each else "---" for each in right]]
    lines += [[plain(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures(found: Comparison, shown: Sequence[Column]) -> Iterator[_Shown]:
    """Values with half of their intervals; in bold, the reference model's that is the target."""
    for column in shown:

        def line(line: Line, name: str = column.name) -> Markdown:
            return _value(line.figures.get(name), "not measured", name in line.in_sample)

        def role(role: str, column: Column = column) -> Markdown:
            return _value(found.references.get(role, {}).get(column.name), "", bold=role == column.target)

        yield _Shown(column.name, line, role)


def _value(figure: Figure | None, absent: str, in_sample: bool = False, bold: bool = False) -> Markdown:
    if figure is None:
        return Markdown(absent)
    mark = "≈" if figure.equivalent else r"\*" if figure.missed else ""
    shown, half = number(figure.value.value), _beside(text.half(figure.value, short=True))
    return Markdown(f"{f'**{shown}**' if bold else shown}{mark}{half}{'°' if in_sample else ''}")


def _evidence(lines: Sequence[Line]) -> Iterator[_Shown]:
    yield _Shown("leak gone", lambda line: _share(line.diagnosis.evidence.reduction, ".1%"))
    yield _Shown("GenKnow change", lambda line: _share(line.diagnosis.evidence.knowledge, "+.1%"))
    for name, group in (("cosine kept", HOLDOUTS), ("rank kept", RETRIEVALS)):

        def line(line: Line, group: Sequence[str] = group) -> Markdown:
            return _share(line.least_kept(group), ".0%")

        if group is HOLDOUTS or any(line.least_kept(group) for line in lines):
            yield _Shown(name, line)
    yield _Shown("data needed", lambda line: line.needs, left=True)
    yield _Shown("seconds", lambda line: f"{line.seconds:.1f}")


def _share(found: Interval | None, form: str) -> Markdown:
    if found is None:
        return Markdown("-")
    return Markdown(f"{found.value:{form}}{_beside(text.half(found, form.lstrip('+')))}")


def _beside(half: str) -> str:
    """Half of an interval behind its value, without a line break between them."""
    return half.replace("±", _GIVE_OR_TAKE)


def _places() -> Iterator[_Shown]:
    for aim, name in _AIMS.items():

        def line(line: Line, aim: str = aim) -> str:
            return " - ".join(str(place) for place in dict.fromkeys(line.places.get(aim, ()))) or "-"

        yield _Shown(name, line)
    for aim, name in _FRONTS.items():

        def where(line: Line, aim: str = aim) -> str:
            return line.fronts[aim].value if aim in line.fronts else "-"

        yield _Shown(name, where, left=True)


#: Aim -> name of its front with the leak.
_FRONTS = {KNOWLEDGE: "front: GenKnow", HOLDOUT_PLACE: "front: holdouts"}
_PLACES = (
    "1 - 3: from the first place to the third; whoever is not shown to differ shares one (95%, Holm over all pairs). "
    "Front of the leak against GenKnow, and against the holdouts: on it (no other measures at least as well on both "
    "and better on one), tied (another does, and is not shown to be better on either), or off it."
)


def _tails(found: Comparison) -> Iterator[_Shown]:
    for name in TAILS:

        def line(line: Line, name: str = name) -> Markdown:
            return _value(line.tails.get(name), "")

        def role(role: str, name: str = name) -> Markdown:
            return _value(found.references.get(role, {}).get(name), "")

        yield _Shown(name, line, role)


def _marks(found: Comparison, shown: Sequence[Column]) -> str:
    """What signs beside figures mean, and what the intervals are over."""
    worlds = len(found.results.worlds)
    seeds = any(len(line.rows) > line.worlds for line in found.lines)
    over = f"{worlds} worlds" if worlds > 1 else f"the people of one world{' and the seeds' if seeds else ''}"
    in_sample = any(column.name in line.in_sample for column in shown for line in found.lines)
    return (
        f"±: the longer half of the 95% interval, over {over}. Bold: the reference model that is a figure's target. "
        r"\*: shown to miss its target (Holm over the figures of its pillar). ≈: shown to be at it."
        + (" °: looks at pairs the method was trained on." if in_sample else "")
    )


def _bars(lines: Sequence[Line]) -> str:
    bar = min(line.diagnosis.evidence.bar for line in lines)
    asked = f"{bar:.1%}" if bar < MIN_LEAKAGE_REDUCTION else f"{MIN_LEAKAGE_REDUCTION:.0%}"
    return plain(
        f"Ineffective: under {asked} of the leak gone, or what is left unlike Clean's (≠Clean). Catastrophic: GenKnow "
        f"down by over {MAX_KNOWLEDGE_DROP:.0%}. Over-generalised: under {MIN_HOLDOUT_RETENTION:.0%} of the holdouts "
        "kept; <0 is worse than never seen. ?: the interval lies on both sides. n/a: not measured, or nothing to lose."
    )


def _invalid(row: Row, told: Mapping[tuple[str, str], str]) -> list[object]:
    record = row.record
    cost = [f"{record.budget:g}", record.seed] if record else ["", ""]
    return [told[row.method, record.variant] if record else row.method, row.world, *cost, row.status, row.reason]


def _code(text: str) -> str:
    """A code span that nothing in it can end."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if "`" in text else ""
    return f"{ticks}{edge}{text}{edge}{ticks}"
