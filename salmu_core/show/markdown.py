"""The table as Markdown, for a paper or a README. Every text that comes from data is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from salmu_core.show import attacks, captions
from salmu_core.show.cells import Cell, Part, TableColumn
from salmu_core.show.escape import plain
from salmu_core.show.table import ROLES, Table, targets

#: Between a figure and half of its interval, which stay on one line.
_GIVE_OR_TAKE = "\u00a0±\u00a0"


def markdown(table: Table, notice: str = "", command: str = "") -> str:
    """GitHub-flavoured Markdown: primary figures and verdicts, places, all other figures, and what is no result.

    Args:
        notice: The sentence the benchmark wants above its tables.
        command: What makes the same text again.
    """
    comparison, results = table.comparison, table.comparison.results
    parts = [f"> {plain(notice)}"] if notice.strip() else []
    if comparison.lines:
        parts += _tables(table)
    if results.invalid:
        columns = table.facts("method", "world", "budget", "seed", "status", "reason")
        grid = _grid([c.header for c in columns], [[_cell(c.run(row)) for c in columns] for row in results.invalid])
        parts += [_title(table, "no result, not ranked"), grid]
    if not results.rows:
        parts.append("There are no runs.")
    notes = comparison.notes if comparison.lines else []
    if sentences := [*notes, *captions.errors_of(results)]:
        parts.append("\n".join(f"* {plain(sentence)}" for sentence in sentences))
    if command:
        parts.append(f"Made by {_code(command)}.")
    return "\n\n".join(parts) + "\n"


def _tables(table: Table) -> list[str]:
    """All tables of lines, each below its title, with what their signs mean."""
    lines, known = table.comparison.lines, table.comparison.columns
    runs, needs, seconds = table.facts("runs", "data needed", "seconds")
    figures = [column.figure for column in table.part(Part.FIGURES) if column.figure]
    primary = [column for columns in table.figures(True).values() for column in columns]
    parts = [
        *_table(table, "primary figures and verdicts", [runs, *primary, *table.part(Part.VERDICT)], ROLES),
        *(plain(captions.signs(table.comparison, figures)), plain(captions.bars(lines, known))),
        *_table(table, "what the verdicts rest on, and what it took", [*table.part(Part.EVIDENCE), needs, seconds]),
        *_table(table, "places at equal budget", table.part(Part.PLACES)),
        plain(captions.places(known)),
    ]
    for pillar, columns in table.figures(False).items():
        parts += _table(table, f"other figures of {pillar} (target: {targets(columns)})", columns, ROLES)
    if tried := table.part(Part.ATTACKS):
        parts += [*_table(table, "what attacks bring back", tried, ROLES), plain(attacks.CAPTION)]
    if tails := table.part(Part.TAILS):
        parts += [*_table(table, "tails", tails, ROLES), plain(captions.TAIL_MEANINGS)]
    return parts


def _title(table: Table, text: str) -> str:
    return f"**{plain(f'{table.comparison.results.benchmark}: {text}')}**"


def _table(table: Table, title: str, more: Sequence[TableColumn], roles: Sequence[str] = ()) -> list[str]:
    """A title and a table: whose row it is, and ``more`` of it."""
    columns = [*table.facts("method", "budget"), *more]
    rows = [[_cell(column.role(role)) for column in columns] for role in roles]
    rows += [[_cell(column.line(line)) for column in columns] for line in table.comparison.lines]
    right = [not column.left for column in columns]
    return [_title(table, title), _grid([column.header for column in columns], rows, right)]


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    ends = ["---:" if number < len(right) and right[number] else "---" for number in range(len(headers))]
    return "\n".join(f"| {' | '.join(row)} |" for row in ([*map(plain, headers)], ends, *rows))


def _cell(cell: Cell) -> str:
    """A value, in bold where it is a target, its mark, and half of its interval on the same line."""
    text = f"**{plain(cell.text)}**" if cell.target else plain(cell.text)
    return f"{text}{plain(cell.mark)}{cell.half.replace('±', _GIVE_OR_TAKE)}{cell.aside}"


def _code(text: str) -> str:
    """A code span that nothing in it can end."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if "`" in text else ""
    return f"{ticks}{edge}{text}{edge}{ticks}"
