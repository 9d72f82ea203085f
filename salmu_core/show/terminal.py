"""The table in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from salmu_core.judge.columns import Column
from salmu_core.judge.compare import labels
from salmu_core.judge.diagnosis import Diagnosis, Verdict
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

#: Widths in characters: of the method's name, of it with budget, runs and lines, and of a figure.
_METHOD, _LABELS, _NUMBER = 18, 36, 7
#: The least width at which verdicts and failure modes stand side by side.
_VERDICTS = 98
_MODE_STYLE = {"ineffective": "yellow", "catastrophic": "red", "over-generalised": "magenta"}
_TARGETS = (
    "below each value, the longer half of its 95% interval; * shown to miss its target (Holm over its pillar), "
    "≈ shown to be at it"
)

_IN_SAMPLE = "; ° looks at pairs the method was trained on"


def render(found: Comparison, shown: Sequence[Column], notice: str = "", width: int = 100) -> RenderableType:
    """The whole report: figures and verdicts, then rows that are no result.

    Figures that don't fit into ``width`` columns of text are in further tables.
    """
    lines, results = found.lines, found.results
    parts: list[RenderableType] = []
    if notice:
        parts.append(Text(notice, style="italic"))
    if lines or (not results.rows and any(found.references.values())):
        for pillar in dict.fromkeys(c.pillar for c in shown):
            for fitting in _fitting([c for c in shown if c.pillar == pillar], width):
                parts.append(_figures(found, fitting))
    if lines:
        parts += [*_verdicts(lines, width), _places(lines)]
        if any(line.tails for line in lines):
            parts.append(_tails(found))
        parts += [Text(note, style="italic") for note in found.notes]
    if results.invalid:
        parts.append(_invalid(results.invalid))
    for row in results.rows:
        name = f"{row.method}, {row.world}, b {_budget(row)}, s {row.seed}"
        parts += [Text(f"{name}: no {metric}: {error}", style="red") for metric, error in row.errors.items()]
    if not results.rows:
        parts.append(Text("There are no runs."))
    return Group(*parts)


def _fitting(figures: list[Column], width: int) -> Iterator[list[Column]]:
    """Figures, as many at a time as fit beside the lines' labels."""
    fitting: list[Column] = []
    room = width - _LABELS
    for column in figures:
        needed = max(_NUMBER, *map(len, column.name.split("_"))) + 3
        if fitting and needed > room:
            yield fitting
            fitting, room = [], width - _LABELS
        fitting.append(column)
        room -= needed
    yield fitting


def _named(table: Table) -> None:
    """The columns that say which line it is."""
    table.add_column("method", min_width=_METHOD, max_width=_METHOD, overflow="fold")
    table.add_column("b", justify="right", no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)


def _name(line: Line) -> tuple[Text, str, str]:
    return Text(line.label), f"{line.budget:g}", str(len(line.rows))


def _tails(found: Comparison) -> Table:
    table = Table(title=f"{found.results.benchmark}: tails", title_justify="left", title_style="bold")
    _named(table)
    for name in TAILS:
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for role in ("compromised", "clean"):
        cells = (_value(found.references.get(role, {}).get(name), "-") for name in TAILS)
        table.add_row(Text(role.capitalize()), "", str(len(found.results.worlds)), *cells, style="dim")
    table.add_section()
    for line in found.lines:
        table.add_row(*_name(line), *(_value(line.tails.get(name), "-") for name in TAILS))
    table.caption, table.caption_justify = "; ".join(f"{name}: {what}" for name, what in TAILS.items()), "left"
    return table


def _figures(found: Comparison, shown: list[Column]) -> Table:
    pillar = shown[0].pillar
    target = ", ".join(sorted({c.target.capitalize() for c in shown}))
    title = f"{found.results.benchmark}: {pillar} (target: {target})"
    table = Table(title=title, title_justify="left", title_style="bold")
    _named(table)
    for column in shown:
        table.add_column(column.name.replace("_", "\n"), justify="right", no_wrap=True)
    worlds = str(len(found.results.worlds))
    for role in ("compromised", "clean"):
        figures = found.references.get(role, {})
        style = "bold green" if shown[0].target == role else "dim"
        cells = (_value(figures.get(column.name), "-") for column in shown)
        table.add_row(Text(role.capitalize()), "", worlds, *cells, style=style)
    table.add_section()
    for line in found.lines:
        cells = (
            _value(line.figures.get(column.name), "not\nmeasured", column.name in line.in_sample) for column in shown
        )
        table.add_row(*_name(line), *cells)
    seen = any(column.name in line.in_sample for column in shown for line in found.lines)
    table.caption, table.caption_justify = f"{_TARGETS}{_IN_SAMPLE if seen else ''}", "left"
    return table


def _value(figure: Figure | None, absent: str, in_sample: bool = False) -> Text:
    if figure is None:
        return Text(absent, style="dim")
    mark, style = ("≈", "green") if figure.equivalent else ("*", "yellow") if figure.missed else (" ", "")
    cell = Text(text.number(figure.value.value) + mark, style=style)
    half = text.half(figure.value, short=True)
    return cell.append(f"\n{half}{'°' if in_sample else ' '}" if half or in_sample else "", style="dim")


def _verdicts(lines: Sequence[Line], width: int) -> Iterator[Table]:
    """What the figures say; on a narrow terminal the failure modes stand in a table of their own."""
    table = Table(title="Verdicts", title_justify="left", title_style="bold")
    _named(table)
    retrieval = any(name in RETRIEVALS for line in lines for name in line.diagnosis.evidence.retention)
    groups = [HOLDOUTS, RETRIEVALS] if retrieval else [HOLDOUTS]
    for name in ("leak\ngone", "GenKnow\nchange", *("cosine\nkept", "rank\nkept")[: len(groups)], "s"):
        table.add_column(name, justify="right", no_wrap=True)
    narrow = width < _VERDICTS
    modes = Table(title="Failure modes", title_justify="left", title_style="bold") if narrow else table
    if narrow:
        _named(modes)
    modes.add_column("failure mode", no_wrap=True)
    for line in lines:
        found = line.diagnosis.evidence
        kept = [line.least_kept(group) for group in groups]
        shown: list[RenderableType] = [
            *_name(line),
            _share(found.reduction, found.bar, ".1%"),
            _share(found.knowledge, -MAX_KNOWLEDGE_DROP, "+.1%"),
            *(_share(each, MIN_HOLDOUT_RETENTION, ".0%") for each in kept),
            f"{line.seconds:.1f}",
        ]
        table.add_row(*shown, *([] if narrow else [_modes(line.diagnosis)]))
        if narrow:
            modes.add_row(*_name(line), _modes(line.diagnosis))
    bars = {line.diagnosis.evidence.bar for line in lines}
    asked = f"{min(bars):.1%}" if min(bars) < MIN_LEAKAGE_REDUCTION else f"{MIN_LEAKAGE_REDUCTION:.0%}"
    modes.caption = (
        f"ineffective: under {asked} of the leak gone, or what is left unlike Clean's (≠Clean); catastrophic: GenKnow "
        f"down by over {MAX_KNOWLEDGE_DROP:.0%}; over-generalised: under {MIN_HOLDOUT_RETENTION:.0%} of the holdouts "
        "kept, <0 is worse than never seen. ? the interval lies on both sides; n/a: not measured, or nothing to lose"
    )
    modes.caption_justify = "left"
    yield from [table, modes] if narrow else [table]


def _share(found: Interval | None, bar: float, form: str) -> Text:
    if found is None:
        return Text("-", style="dim")
    style = "green" if found.low >= bar else "yellow" if found.high < bar else ""
    cell = Text(format(found.value, form), style=style)
    return cell.append(f"\n{text.half(found, form.lstrip('+'))}", style="dim")


def _modes(found: Diagnosis) -> Text:
    if not found.judged:
        return Text("not judged", style="dim")
    shown = [
        Text(mode + text.MARKS[verdict], style=_MODE_STYLE[mode] if verdict is Verdict.HOLDS else "dim").append(
            f" {note}" if note else ""
        )
        for mode, verdict, note in found.remarks()
    ]
    return Text("\n").join(shown) if shown else Text("none", style="bold green")


def _places(lines: Sequence[Line]) -> Table:
    table = Table(title="Places at equal budget", title_justify="left", title_style="bold")
    _named(table)
    for name in ("least leak", "GenKnow kept", "holdouts kept"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*_name(line), *(_place(line, aim) for aim in (LEAK, KNOWLEDGE, HOLDOUT_PLACE)))
    table.caption = "from - to: whoever is not shown to differ shares a place (95%, Holm over all pairs)"
    table.caption_justify = "left"
    return table


def _place(line: Line, aim: str) -> str:
    if aim not in line.places:
        return "-"
    first, last = line.places[aim]
    return f"{first}" if first == last else f"{first} - {last}"


def _budget(row: Row) -> str:
    return f"{row.record.budget:g}" if row.record else ""


def _invalid(rows: list[Row]) -> Table:
    table = Table(title="No result, not ranked", title_justify="left", title_style="bold red")
    for name in ("method", "world", "b", "s", "status", "reason"):
        table.add_column(name, overflow="fold")
    told_apart = labels(rows)
    for row in rows:
        name = told_apart[row.method, row.record.variant] if row.record else row.method
        cost = (_budget(row), str(row.seed)) if row.record else ("", "")
        reason = row.reason + (f"\n{row.folder / 'traceback.txt'}" if row.status == "crashed" else "")
        table.add_row(Text(name), row.world, *cost, Text(row.status, style="red"), escape(reason))
    return table


def show(console: Console, found: Comparison, shown: Sequence[Column], notice: str = "") -> None:
    """Print the whole report."""
    console.print(render(found, shown, notice, console.width))
