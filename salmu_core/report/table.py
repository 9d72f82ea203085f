"""The table in the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from salmu_core.diagnosis import MAX_KNOWLEDGE_DROP, MIN_HOLDOUT_RETENTION, MIN_LEAKAGE_REDUCTION
from salmu_core.plugins import Declared
from salmu_core.results import Results, Row
from salmu_core.specs import MetricSpec

#: A target counts as reached within this share of the distance between the two reference models, or within a
#: tenth of it of the target itself, whichever is wider. For a pillar's primary metric it is the paper's 1%.
TOLERANCE, PRIMARY_TOLERANCE = 0.1, 0.01
#: Widths in characters: of the method's name, of it with budget, seed and lines, and of a figure.
_METHOD, _LABELS, _NUMBER = 20, 36, 7
_MODE_STYLE = {"ineffective": "yellow", "catastrophic": "red", "over-generalised": "magenta"}


@dataclass(frozen=True)
class Column:
    """One figure: its name in the records and in the table, and the reference it should reach."""

    name: str
    short: str
    target: str
    pillar: str
    primary: bool

    def reached(self, value: float, references: Mapping[str, Mapping[str, float]]) -> bool | None:
        """Whether a value is at its target; None where the target is not known."""
        goal = references.get(self.target, {}).get(self.name)
        if goal is None:
            return None
        ends = [values[self.name] for values in references.values() if self.name in values]
        between = max(ends) - min(ends)
        if self.primary:
            return abs(value - goal) <= PRIMARY_TOLERANCE * max(between, abs(goal))
        return abs(value - goal) <= max(TOLERANCE * between, TOLERANCE**2 * abs(goal))


def columns(metrics: Mapping[str, Declared[MetricSpec]]) -> list[Column]:
    """The table's figures: efficacy first, utility after, in the order they were declared."""
    pillars = ("efficacy", "utility", "robustness", "efficiency")
    specs = sorted((m.spec for m in metrics.values()), key=lambda s: (pillars.index(s.pillar), not s.primary))
    return [
        Column(name, name.replace("_", "\n"), spec.target, spec.pillar, spec.primary)
        for spec in specs
        for name in spec.columns
    ]


def render(
    results: Results, metrics: Mapping[str, Declared[MetricSpec]], notice: str = "", width: int = 100
) -> RenderableType:
    """The whole report: figures, distances and verdicts, then rows that are no result.

    Figures that don't fit into ``width`` columns of text are in further tables.
    """
    figures = columns(metrics)
    valid = [row for row in results.rows if row.status == "valid"]
    named = labels(results.rows)
    parts: list[RenderableType] = []
    if notice:
        parts.append(Text(notice, style="italic"))
    if valid or (not results.rows and any(results.references.values())):
        for pillar in dict.fromkeys(c.pillar for c in figures):
            for shown in _fitting([c for c in figures if c.pillar == pillar], width):
                parts.append(_figures(results, valid, named, shown))
    if valid:
        parts.append(_verdicts(valid, named))
    if results.invalid:
        parts.append(_invalid(results.invalid, named))
    for row in valid:
        parts += [
            Text(f"{named[row.folder]}: no {metric}: {error}", style="red") for metric, error in row.errors.items()
        ]
    if not results.rows:
        parts.append(Text("There are no runs."))
    return Group(*parts)


def labels(rows: Sequence[Row]) -> dict[Path, str]:
    """Run folder -> its method, with the settings that tell its runs apart, where they have several."""
    of_method: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_method[row.method].append(row)
    found = {}
    for row in rows:
        others = [each.record.config for each in of_method[row.method] if each.record]
        mine = row.record.config if row.record else {}
        telling = [f"{name}={mine[name]}" for name in mine if any(each.get(name) != mine[name] for each in others)]
        found[row.folder] = " ".join([row.method, *telling])
    return found


def _fitting(figures: list[Column], width: int) -> Iterator[list[Column]]:
    """Figures, as many at a time as fit beside the rows' labels."""
    shown: list[Column] = []
    room = width - _LABELS
    for column in figures:
        needed = max(_NUMBER, *map(len, column.short.split("\n"))) + 3
        if shown and needed > room:
            yield shown
            shown, room = [], width - _LABELS
        shown.append(column)
        room -= needed
    yield shown


def _figures(results: Results, rows: list[Row], named: Mapping[Path, str], shown: list[Column]) -> Table:
    pillar = shown[0].pillar
    target = ", ".join(sorted({c.target.capitalize() for c in shown}))
    table = Table(title=f"{results.benchmark}: {pillar} (target: {target})", title_justify="left", title_style="bold")
    table.add_column("method", min_width=_METHOD, max_width=_METHOD, overflow="fold")
    table.add_column("b", justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    for column in shown:
        table.add_column(column.short, justify="right", no_wrap=True)
    for role in ("compromised", "clean"):
        values = results.references.get(role, {})
        style = "bold green" if shown[0].target == role else "dim"
        table.add_row(Text(role.capitalize()), "", "", *(_number(values.get(c.name)) for c in shown), style=style)
    table.add_section()
    for row in rows:
        assert row.record is not None
        table.add_row(
            Text(named[row.folder]),
            f"{row.record.budget:g}",
            str(row.record.seed),
            *(_cell(row, c, results.references) for c in shown),
        )
    table.caption = "* target not reached; below each value, its distance to the target"
    table.caption_justify = "left"
    return table


def _cell(row: Row, column: Column, references: Mapping[str, Mapping[str, float]]) -> Text:
    value = row.metrics.get(column.name)
    if value is None:
        return Text("not measured", style="dim")
    reached = column.reached(value, references)
    if reached is None:
        return Text(_number(value))
    cell = Text(_number(value) + (" " if reached else "*"), style="green" if reached else "yellow")
    return cell.append(f"\n{value - references[column.target][column.name]:+.3f} ", style="dim")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def _verdicts(rows: list[Row], named: Mapping[Path, str]) -> Table:
    table = Table(title="Verdicts", title_justify="left", title_style="bold")
    table.add_column("method", max_width=22, overflow="fold")
    for name in ("b", "s", "leakage\nreduction", "inter\nkept", "intra\nkept", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("failure mode", no_wrap=True)
    for row in rows:
        assert row.record is not None
        found = row.diagnosis
        kept = found.holdout_retention
        table.add_row(
            Text(named[row.folder]),
            f"{row.record.budget:g}",
            str(row.record.seed),
            _share(found.leakage_reduction, MIN_LEAKAGE_REDUCTION, ".1%"),
            _share(kept.get("InterIdSim"), MIN_HOLDOUT_RETENTION, ".0%"),
            _share(kept.get("IntraIdSim"), MIN_HOLDOUT_RETENTION, ".0%"),
            f"{row.record.ledger.seconds:.1f}",
            _modes(row),
        )
    table.caption = (
        f"ineffective: leakage reduction under {MIN_LEAKAGE_REDUCTION:.0%} and more leak than Clean; "
        f"catastrophic: GenKnow down by over {MAX_KNOWLEDGE_DROP:.0%}; "
        f"over-generalised: under {MIN_HOLDOUT_RETENTION:.0%} of the holdout similarity kept, below 0 is worse than "
        "never seen"
    )
    table.caption_justify = "left"
    return table


def _share(value: float | None, bar: float, form: str) -> Text:
    if value is None:
        return Text("-", style="dim")
    return Text(format(value, form), style="green" if value >= bar else "yellow")


def _modes(row: Row) -> Text:
    if row.diagnosis.failure_modes is None:
        return Text("not judged", style="dim")
    if not row.diagnosis.failure_modes:
        return Text("none", style="bold green")
    return Text("\n").join(Text(mode, style=_MODE_STYLE[mode]) for mode in row.diagnosis.failure_modes)


def _invalid(rows: list[Row], named: Mapping[Path, str]) -> Table:
    table = Table(title="No result, not ranked", title_justify="left", title_style="bold red")
    for name in ("method", "b", "s", "status", "reason"):
        table.add_column(name, overflow="fold")
    for row in rows:
        cost = (f"{row.record.budget:g}", str(row.record.seed)) if row.record else ("", "")
        reason = row.reason + (f"\n{row.folder / 'traceback.txt'}" if row.status == "crashed" else "")
        table.add_row(Text(named[row.folder]), *cost, Text(row.status, style="red"), escape(reason))
    return table


def show(console: Console, results: Results, metrics: Mapping[str, Declared[MetricSpec]], notice: str = "") -> None:
    """Print the whole report."""
    console.print(render(results, metrics, notice, console.width))
