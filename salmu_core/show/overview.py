"""The first screen: a row a line, the three figures that decide, and the failure modes they show.

Nothing but ASCII of its own, and nothing is said by colour alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.box import Box
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from salmu_core.judge.diagnosis import CATASTROPHIC, INEFFECTIVE, OVER_GENERALISED, RECOVERABLE, Verdict
from salmu_core.judge.lines import Comparison, Line
from salmu_core.judge.protocol import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION
from salmu_core.judge.results import Row
from salmu_core.judge.targets import leading
from salmu_core.show import attacks, captions, words
from salmu_core.show.cells import Part, TableColumn
from salmu_core.show.columns import change_header
from salmu_core.show.escape import visible
from salmu_core.show.table import ROLES, Table

#: Rows that fit on a screen beside everything else, and those of failed runs however many lines there are.
_SCREEN, _FAILED = 15, 4
#: Widths in characters: what a long label gets at least, beside remarks and beside signs.
_LABEL, _NARROW = 30, 18
#: A line below the header and between sections, and spaces elsewhere.
_BOX = Box("    \n    \n ---\n    \n ---\n    \n    \n    \n", ascii=True)
_STYLES = {"good": "green", "bad": "red", "open": "yellow", "faint": "dim"}
_SIGNS = {"bad": "!", "open": "?"}


class Criterion(NamedTuple):
    """A figure that decides on a failure mode, by its column's header, and what is measured for it."""

    header: str
    mode: str
    measured: str = ""


def criteria(comparison: Comparison) -> tuple[Criterion, ...]:
    """One for each failure mode that some line is judged by."""
    figures = comparison.columns
    attacked = any(RECOVERABLE in line.diagnosis.verdicts for line in comparison.lines)
    return (
        Criterion("leak gone", INEFFECTIVE, leading(figures, "leak")),
        Criterion(change_header(figures), CATASTROPHIC, leading(figures, "knowledge")),
        Criterion("holdouts kept", OVER_GENERALISED),
        *[Criterion("recovered", RECOVERABLE)] * attacked,
    )


class Judged(NamedTuple):
    """A figure, what is said of it, and the tone of both."""

    figure: str
    remark: str = ""
    tone: str = ""


def render(table: Table, notice: str = "", width: int = 100, commands: Sequence[str] = ()) -> RenderableType:
    """One table of all lines below the reference models, failed runs, and where the rest is.

    Args:
        notice: The sentence the benchmark wants above its tables.
        width: Of the screen; where remarks don't fit beside the figures, signs stand for them.
        commands: What shows everything, in the terminal and on a page.
    """
    comparison = table.comparison
    parts: list[RenderableType] = [Text(visible(notice), "italic"), ""] if notice else []
    if comparison.results.rows or any(comparison.references.values()):
        parts += [_title(comparison), *_rows(table, width)]
    if not comparison.results.rows:
        parts.append("There are no runs.")
    parts += [Text(visible(problem), _STYLES["bad"]) for problem in comparison.results.problems]
    return Group(*parts, *_rest(comparison, commands))


def _title(comparison: Comparison) -> Text:
    """What is compared, and in which order it stands."""
    lines, worlds = comparison.lines, len(comparison.results.worlds)
    *some, last = dict.fromkeys(f"{line.budget:g}" for line in lines) or [""]
    seeds = len({row.seed for line in lines for row in line.rows})
    facts = [
        words.count(len({line.method for line in lines}), "method"),
        f"budgets {', '.join(some)} and {last}" if some else f"budget {last}",
        words.count(worlds, "world"),
        words.count(seeds, "seed"),
    ]
    title = Text(visible(comparison.results.benchmark), "bold")
    if lines:
        title.append(f": {', '.join(facts)}. ").append("Best first: fewest failure modes, then least leak.", "not bold")
    return title


class Strip(NamedTuple):
    """A column as it is printed."""

    header: str
    cells: list[Text]
    right: bool = False

    @property
    def width(self) -> int:
        """Of its widest cell."""
        return max(map(cell_len, [*self.header.split("\n"), *(cell.plain for cell in self.cells)]))


def _rows(table: Table, width: int) -> Iterator[RenderableType]:
    """Reference models, lines and failed runs, with remarks beside the figures if they fit, or signs; and a legend."""
    lines, roles = table.comparison.lines, [role for role in ROLES if table.comparison.references.get(role)]
    names, *facts = [_fact(column, lines, roles) for column in _facts(table)]
    failed = _failed(table)
    longest = max([names.width, *(cell_len(label) for label, _ in failed)])
    for remarks, gap in ((True, 2), (True, 1), (False, 2)):
        strips = [*facts, *(_strip(table, criterion, roles, remarks) for criterion in criteria(table.comparison))]
        taken = sum(gap + strip.width for strip in strips)
        if width - taken >= min(longest, _LABEL):
            break
    label_width = min(longest, max(width - taken, _NARROW))
    if lines or roles:
        grid = Grid(box=_BOX, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="bold")
        grid.add_column(names.header, width=label_width, overflow="fold")
        for strip in strips:
            grid.add_column(strip.header, justify="right" if strip.right else "left", width=strip.width, no_wrap=True)
        budgets = [None] * len(roles) + [line.budget for line in lines]
        for number, budget in enumerate(budgets, 1):
            cells = [strip.cells[number - 1] for strip in (names, *strips)]
            grid.add_row(*cells, end_section=budgets[number : number + 1] != [budget])
        yield grid
    if failed:
        yield Text("-" * min(label_width + taken, width))
    for label, reason in failed:
        aligned = set_cell_size(_cropped(label, label_width), label_width)
        yield Text(_cropped(f"{aligned}{' ' * gap}{reason}", width), _STYLES["bad"])
    if lines:
        yield Text(f"\n{_legend(table.comparison, remarks)}", "dim")
        yield from (Text(visible(sentence), _STYLES["open"]) for sentence in attacks.highlights(lines))


def _facts(table: Table) -> list[TableColumn]:
    """Which line it is, as far as they differ."""
    lines = table.comparison.lines
    several = {"budget": len({line.budget for line in lines}), "runs": len({len(line.rows) for line in lines})}
    return table.facts("method", *(header for header, number in several.items() if number > 1))


def _fact(column: TableColumn, lines: Sequence[Line], roles: Sequence[str]) -> Strip:
    said = [Text(visible(column.role(role).text), "dim") for role in roles]
    said += [Text(visible(column.line(line).text), "" if line.diagnosis.remarks() else "bold green") for line in lines]
    return Strip(column.header, said, right=not column.left)


def _strip(table: Table, criterion: Criterion, roles: Sequence[str], remarks: bool) -> Strip:
    """A figure of every model; figures end below one another, and remarks or signs follow."""
    known = {column.header: column for part in (Part.EVIDENCE, Part.OVERVIEW) for column in table.part(part)}
    column = known[criterion.header]
    references = [_reference(table.comparison, criterion, column, role) for role in roles]
    judged = [*references, *(_judged(line, criterion, column) for line in table.comparison.lines)]
    digits = max((len(figure) for figure, _, _ in judged), default=0)
    cells = []
    for figure, remark, tone in judged:
        behind = f" {remark}" if remarks else _SIGNS.get(tone, "")
        cells.append(Text(f"{figure.rjust(digits)}{behind}".rstrip(), _STYLES.get(tone, "")))
    return Strip(f"{criterion.header}\n{_bar(criterion, table.comparison.lines)}", cells)


def _reference(comparison: Comparison, criterion: Criterion, column: TableColumn, role: str) -> Judged:
    figure = comparison.references[role].get(criterion.measured)
    name = f"{criterion.measured.rpartition('_')[2]} " if criterion.mode == INEFFECTIVE else ""
    return Judged(column.role(role).text, f"({name}{words.number(figure.value.value)})" if figure else "", "faint")


def _judged(line: Line, criterion: Criterion, column: TableColumn) -> Judged:
    figure, mode = column.line(line).text, criterion.mode
    match line.diagnosis.verdicts.get(mode):
        case Verdict.HOLDS:
            why = ": unlike Clean" if mode == INEFFECTIVE and line.diagnosis.only_unlike_clean else ""
            return Judged(figure, f"{mode}{why}", "bad")
        case Verdict.OPEN:
            return Judged(figure, f"{mode}?", "open")
        case Verdict.CLEAR:
            return Judged(figure, "", "good")
    return Judged(figure, "not judged" if mode == RECOVERABLE else "not measured", "faint")


def _bar(criterion: Criterion, lines: Sequence[Line]) -> str:
    """What a figure has to reach."""
    bars = {
        INEFFECTIVE: captions.leak_bar(lines) if lines else "",
        CATASTROPHIC: f"-{MAX_KNOWLEDGE_DROP:.0%}",
        OVER_GENERALISED: f"{MIN_HOLDOUT_RETENTION:.0%}",
        RECOVERABLE: captions.recovered_bar(lines),
    }
    return f"{'<=' if criterion.mode == RECOVERABLE else '>='} {bars[criterion.mode]}" if lines else ""


def _legend(comparison: Comparison, remarks: bool) -> str:
    modes = ", ".join(criterion.mode for criterion in criteria(comparison))
    missed = "names the failure mode it shows" if remarks else f"is marked ! (from left to right: {modes})"
    return (
        "Compromised is where every method starts, Clean never saw the private pairs. A figure that misses its bar "
        f"{missed}; ?: its interval lies on both sides."
    )


def _failed(table: Table) -> list[tuple[str, str]]:
    """Failed runs and why they failed, those of one kind on one line, as many kinds as there is room for."""
    columns, failed = table.facts("method", "budget", "status"), table.comparison.results.invalid
    kinds: dict[tuple[str, ...], list[Row]] = {}
    for run in failed:
        kinds.setdefault(tuple(visible(column.run(run).text) for column in columns), []).append(run)
    rows = []
    for (label, budget, status), runs in kinds.items():
        times = f" x{len(runs)}" if len(runs) > 1 else ""
        reason = visible(runs[0].reason.replace(f"{runs[0].folder}{os.sep}", ""))
        rows.append((label, f"{status}{times}{f' at budget {budget}' if budget else ''}: {reason}"))
    room = max(_FAILED, _SCREEN - len(table.comparison.lines))
    if len(rows) > room:
        rest = sum(len(runs) for runs in list(kinds.values())[room - 1 :])
        rows[room - 1 :] = [("...", f"and {words.count(rest, 'run')} more without a result")]
    return rows


def _cropped(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 3)}..."


def _rest(comparison: Comparison, commands: Sequence[str]) -> list[Text]:
    """Where everything else is; commands stay whole, however long they are."""
    if not commands:
        return []
    errors = captions.errors_of(comparison.results)
    notes = len(comparison.notes) - len(comparison.results.problems) if comparison.lines else 0
    counted = [words.count(notes, "note")] if notes else []
    counted += [f"{words.count(len(errors), 'metric')} without a value"] if errors else []
    what = ", ".join(["All figures", "intervals", *counted])
    whole, page = map(visible, commands)
    return [Text(f"\n{what}: {whole}; as a page: {page}", no_wrap=True, overflow="ignore")]
