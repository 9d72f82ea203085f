"""The whole table in the terminal: every figure, and what the verdicts rest on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich import table as tables
from rich.console import Group, RenderableType
from rich.text import Text

from salmu_core.show import attacks, captions
from salmu_core.show.cells import Cell, Part, TableColumn
from salmu_core.show.escape import visible
from salmu_core.show.table import ROLES, Table, targets

#: Widths in characters: of the method's name, of it with budget, runs and lines, of a figure, and of some words.
_METHOD, _LABELS, _NUMBER, _SAID = 18, 36, 7, 14
#: The least width at which verdicts and failure modes stand side by side.
_VERDICTS = 98
#: Tone of a word -> its style; failure modes are told apart.
STYLES = {
    "good": "green",
    "bad": "yellow",
    "faint": "dim",
    "ineffective": "yellow",
    "catastrophic": "red",
    "over-generalised": "magenta",
}


def render(table: Table, notice: str = "", width: int = 100) -> RenderableType:
    """The whole report: figures and verdicts, then rows that are no result.

    Figures that don't fit into ``width`` columns of text are in further tables.
    """
    comparison, results = table.comparison, table.comparison.results
    parts: list[RenderableType] = [Text(visible(notice), style="italic")] if notice else []
    if comparison.lines or (not results.rows and any(comparison.references.values())):
        parts += _figures(table, width)
    if comparison.lines:
        parts += [*_verdicts(table, width), *_rest(table, width)]
        parts += [Text(visible(note), style="italic") for note in comparison.notes]
    if results.invalid:
        parts.append(_invalid(table))
    parts += [Text(visible(error), style="red") for error in captions.errors_of(results)]
    if not results.rows:
        parts.append(Text("There are no runs."))
    return Group(*parts)


def _figures(table: Table, width: int) -> Iterator[tables.Table]:
    """All figures, pillar by pillar."""
    for pillar, columns in table.figures(True, False).items():
        caption = captions.signs(table.comparison, [column.figure for column in columns if column.figure])
        title = f"{table.comparison.results.benchmark}: {pillar} (target: {targets(columns)})"
        for fitting in _fitting(columns, width):
            yield _table(table, title, fitting, caption, ROLES)


def _fitting(columns: Sequence[TableColumn], width: int, least: int = _NUMBER) -> Iterator[list[TableColumn]]:
    """Columns, as many at a time as fit beside the lines' labels."""
    fitting: list[TableColumn] = []
    room = width - _LABELS
    for column in columns:
        needed = max(least, *map(len, re.split("[_ ]", column.header))) + 3
        if fitting and needed > room:
            yield fitting
            fitting, room = [], width - _LABELS
        fitting.append(column)
        room -= needed
    yield fitting


def _verdicts(table: Table, width: int) -> Iterator[tables.Table]:
    """What the figures say; on a narrow terminal the failure modes stand in a table of their own."""
    evidence = [*table.part(Part.EVIDENCE), *table.facts("seconds")]
    modes, caption = table.part(Part.VERDICT), captions.bars(table.comparison.lines, table.comparison.columns)
    if width >= _VERDICTS:
        yield _table(table, "Verdicts", [*evidence, *modes], caption)
    else:
        yield _table(table, "Verdicts", evidence)
        yield _table(table, "Failure modes", modes, caption)


def _rest(table: Table, width: int) -> Iterator[tables.Table]:
    """Who is shown to be ahead of whom, what attacks bring back, and what the means hide."""
    meaning = captions.places(table.comparison.columns)
    for fitting in (places := [*_fitting(table.part(Part.PLACES), width)]):
        yield _table(table, "Places at equal budget", fitting, meaning if fitting is places[-1] else "")
    if columns := table.part(Part.ATTACKS):
        title = f"{table.comparison.results.benchmark}: what attacks bring back"
        for fitting in (tried := [*_fitting(columns, width, _SAID)]):
            yield _table(table, title, fitting, attacks.CAPTION if fitting is tried[-1] else "", ROLES)
    if tails := table.part(Part.TAILS):
        title = f"{table.comparison.results.benchmark}: tails"
        yield _table(table, title, tails, captions.TAIL_MEANINGS, ROLES)


def _table(
    table: Table, title: str, more: Sequence[TableColumn], caption: str = "", roles: Sequence[str] = ()
) -> tables.Table:
    """A table of all lines, below the reference models: whose row it is, and ``more`` of it."""
    columns = table.facts("method", "budget", "runs") + list(more)
    rows = [[column.role(role) for column in columns] for role in roles]
    rows += [[column.line(line) for column in columns] for line in table.comparison.lines]
    grid = _empty(title, caption)
    for place, column in enumerate(columns):
        _add(grid, column)
        if any(row[place].mark or row[place].aside for row in rows):
            for row in rows:  # a sign must not push its figure out of line
                row[place] = _padded(row[place])
    for number, row in enumerate(rows, 1):
        grid.add_row(*map(styled, row), end_section=number == len(roles))
    return grid


def _empty(title: str, caption: str = "", style: str = "bold") -> tables.Table:
    texts = (Text(visible(title)), Text(visible(caption)) if caption else None)
    return tables.Table(
        title=texts[0], title_justify="left", title_style=style, caption=texts[1], caption_justify="left"
    )


def _add(grid: tables.Table, column: TableColumn) -> None:
    """A column; its name takes as many lines as words."""
    if column.header == "method":
        grid.add_column(column.header, min_width=_METHOD, max_width=_METHOD, overflow="fold")
        return
    header = (column.short or column.header).replace("_", "\n")
    header = header if column.part is Part.VERDICT else header.replace(" ", "\n")
    grid.add_column(Text(header), justify="left" if column.left else "right", no_wrap=True)


def _padded(cell: Cell) -> Cell:
    return cell._replace(mark=cell.mark or " ", aside=cell.aside or " ") if cell.half else cell


def styled(cell: Cell) -> Text:
    """What a cell says, one thing below the other, and below it half of its interval."""
    words = [
        Text(visible(word.text), "bold green" if cell.target else STYLES.get(word.tone, "")) for word in cell.words
    ]
    if cell.mark and words:
        words[0].append(cell.mark)
    half = f"{cell.half}{cell.aside}"
    return Text("\n").join([*words, *([Text(half, "dim")] if half.strip() else [])])


def _invalid(table: Table) -> tables.Table:
    """Runs without a result; of a crash, where its traceback lies."""
    grid = _empty("No result, not ranked", style="bold red")
    columns = table.facts("method", "world", "budget", "seed", "status", "reason")
    for column in columns:
        grid.add_column(column.short or column.header, overflow="fold")
    for run in table.comparison.results.invalid:
        cells = [styled(column.run(run)) for column in columns]
        if run.status == "crashed":
            cells[-1].append(f"\n{visible(run.folder / 'traceback.txt')}")
        grid.add_row(*cells)
    return grid
