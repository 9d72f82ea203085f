"""The one table: a comparison and all its columns. Writers choose columns and decide how a cell looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salmu_core.contract.layout import PILLARS
from salmu_core.judge.lines import Comparison
from salmu_core.judge.targets import Column
from salmu_core.show import columns
from salmu_core.show.attacks import attacks
from salmu_core.show.cells import Part, TableColumn

#: Reference models in the order of their rows.
ROLES = ("compromised", "clean")


@dataclass(frozen=True)
class Table:
    """A comparison and all columns, in the order of a spreadsheet.

    Attributes:
        comparison: Its lines and reference models.
        columns: The primary figures stand before the verdicts, the others after them.
    """

    comparison: Comparison
    columns: Sequence[TableColumn]

    def part(self, part: Part) -> list[TableColumn]:
        """The columns of a part that have a value for some line."""
        return [column for column in self.columns if column.part is part and column.measured]

    def facts(self, *headers: str) -> list[TableColumn]:
        """Columns that say which line it is and what it took, by their headers."""
        known = {column.header: column for column in self.part(Part.FACTS)}
        return [known[header] for header in headers]

    def figures(self, *primary: bool) -> dict[str, list[TableColumn]]:
        """Pillar -> its figures, primary ones or others."""
        shown = [column for column in self.columns if column.figure and column.figure.primary in primary]
        pillars = {pillar: [c for c in shown if c.figure and c.figure.pillar == pillar] for pillar in PILLARS}
        return {pillar: columns for pillar, columns in pillars.items() if columns}


def table(comparison: Comparison, figures: Sequence[Column]) -> Table:
    """The table of a comparison.

    Args:
        figures: All figures with their targets.
    """
    primary, others = ([columns.figure(comparison, f) for f in figures if f.primary is kind] for kind in (True, False))
    verdicts = [*columns.evidence(comparison), columns.failure_modes(), *columns.places(comparison)]
    more = [*columns.tails(comparison), *attacks(comparison)]
    return Table(comparison, [*columns.facts(comparison), *primary, *verdicts, *others, *more])


def targets(figures: Sequence[TableColumn]) -> str:
    """What some figures should reach, as in a title."""
    return ", ".join(sorted({column.figure.target.capitalize() for column in figures if column.figure}))
