"""Two models side by side, on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from salmu_core.judge.changes import KINDS, Change, Difference, Fact, Moved, Ranks
from salmu_core.show.escape import visible
from salmu_core.show.words import number

#: The least width at which an interval stands beside its difference.
_WIDE = 86


#: People shown on either side.
_PEOPLE = 5


_SIGNS = (
    "B - A: paired row by row, its interval over people; * shown to differ (p < 0.05, Holm over all figures). nearer: "
    "which one measures nearer to its target; ? not shown to."
)


_EXTREMES = "A and B: the mean reciprocal rank of a person's captions. Of many people, some lie far out by chance."


def render(difference: Difference, width: int = 100) -> RenderableType:
    """Figures first, then how the runs themselves differ, then whom it concerns."""
    parts: list[RenderableType] = [
        Text.assemble((f"{side}  ", "bold"), visible(model.name), "\n   ", (visible(model.folder), "dim"))
        for side, model in (("A", difference.a), ("B", difference.b))
    ]
    for target in dict.fromkeys(change.target for change in difference.changes):
        parts.append(_figures([c for c in difference.changes if c.target == target], target, width >= _WIDE))
    parts.append(Text(_SIGNS))
    if difference.tails:
        parts.append(_tails(difference))
    if difference.facts:
        parts.append(_facts(difference.facts))
    fell, rose = (
        [m for m in difference.people if m.change < 0],
        [m for m in reversed(difference.people) if m.change > 0],
    )
    for title, people in (("leaks less in B", fell), ("leaks more in B", rose)):
        if people:
            parts.append(_people(f"Who {title}: {len(people)} of {len(difference.people)} people", people[:_PEOPLE]))
    if difference.people:
        parts.append(Text(_EXTREMES))
    if difference.ranks:
        parts.append(_ranks(difference.ranks))
    if difference.a.record and difference.b.record:
        notes = ["One run of each: what another seed would give is not in these intervals."]
    else:
        notes = ["A reference model has no settings and no cost to hold against a run's."]
    parts.append(Text("\n".join([*notes, *map(visible, difference.notes)]), style="italic"))
    return Group(*(part for each in parts for part in (each, "")))


def _table(title: str, headers: Sequence[str], wide: bool = True) -> Table:
    """A table whose first column may fold and whose others are figures."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.collapse_padding = not wide
    table.add_column(headers[0], min_width=11, overflow="fold")
    for header in headers[1:]:
        table.add_column(header, justify="right", no_wrap=True, min_width=5 if header == "p" else 7)
    return table


def _figures(changes: Sequence[Change], target: str, wide: bool) -> Table:
    """The figures of one target; where it is narrow, half of an interval stands below its difference."""
    rows = [_figure(change, wide) for change in changes]
    room = max(len(row[0]) for row in rows)
    headers = ["figure", "A", "B", "B - A".rjust(room), *(["95% interval"] if wide else []), "p", "target", "nearer"]
    table = _table(f"target: {target.capitalize()}", headers, wide)
    for column in (table.columns[3], table.columns[-1]):
        column.justify = "left"
    for change, (gap, interval) in zip(changes, rows, strict=True):
        # Padded here: a mark must not push its figure out of line.
        cell = Text(gap.rjust(room), style="bold" if change.differs else "").append("*" if change.differs else "")
        if not wide:
            cell.append(f"\n{interval.rjust(room)}", style="dim")
        goal = "-" if change.reference is None else number(change.reference)
        beside = [interval] if wide else []
        table.add_row(
            Text(visible(change.name)),
            number(change.a),
            number(change.b),
            cell,
            *beside,
            _p(change.p),
            goal,
            _nearer(change),
        )
    return table


def _figure(change: Change, wide: bool) -> tuple[str, str]:
    """A difference, and its interval or half of it, with the same number of digits."""
    gap = change.difference
    half = max(gap.high - gap.value, gap.value - gap.low)
    if not half < float("inf"):
        return _signed(gap.value), "-"
    scale = max(abs(gap.value), half)
    ends = f"{_signed(gap.low, scale)} to {_signed(gap.high, scale)}" if wide else f"±{_signed(half, scale)[1:]}"
    return _signed(gap.value, scale), ends


def _signed(value: float, scale: float | None = None) -> str:
    """A difference with as many digits as something of its scale needs."""
    scale = abs(value) if scale is None else scale
    return f"{value:+.0e}" if 0 < scale < 0.00005 else f"{value:+.4f}" if 0 < scale < 0.01 else f"{value:+.3f}"


def _p(p: float | None) -> str:
    return "-" if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _nearer(change: Change) -> Text:
    if change.nearer is None:
        return Text("-", style="dim")
    side = change.nearer.upper()
    return Text(side, style="bold green") if change.nearer_shown else Text(f"{side}?", style="dim")


def _tails(difference: Difference) -> Table:
    table = _table("tails, without an interval", ["", "A", "B", "B - A"])
    for name, (a, b) in difference.tails.items():
        table.add_row(name, number(a), number(b), _signed(b - a))
    return table


def _facts(facts: Sequence[Fact]) -> Table:
    """How the runs differ, the kinds of facts apart."""
    table = Table(title="How the runs differ", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for header in ("", "A", "B"):
        table.add_column(header, overflow="fold")
    for kind in KINDS:
        for fact in (fact for fact in facts if fact.kind == kind):
            table.add_row(Text(visible(fact.name)), _value(fact.a), _value(fact.b))
        table.add_section()
    return table


def _value(value: Any) -> Text:
    """A value of any kind; of a hash, its beginning."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.6g}")
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value:,}")
    return Text(str(value)[:12] if re.fullmatch("[0-9a-f]{64}", str(value)) else visible(value))


def _people(title: str, people: Sequence[Moved]) -> Table:
    table = _table(title, ["identity", "rows", "A", "B", "B - A"])
    for moved in people:
        values = (number(moved.a), number(moved.b), _signed(moved.change))
        table.add_row(Text(visible(moved.identity_id)), str(moved.rows), *values)
    return table


def _ranks(ranks: Ranks) -> Text:
    counts = ranks.as_json()
    first, median = counts["first"], counts["median"]
    return Text(
        f"Captions of {counts['rows']:,} forget rows: {counts['nearer_first']:,} rank nearer to the first place in B, "
        f"{counts['further_back']:,} further back, {counts['same']:,} the same. Ranked first: {first['a']:.1%} in A, "
        f"{first['b']:.1%} in B. Median rank: {median['a']:,.10g} in A, {median['b']:,.10g} in B."
    )
