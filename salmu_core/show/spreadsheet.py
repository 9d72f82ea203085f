"""The table as CSV, for spreadsheets and programs: every interval, in full precision."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from salmu_core.show.cells import Cell
from salmu_core.show.table import ROLES, Table

#: What a spreadsheet takes for the beginning of a formula; the last four are the same signs in full width.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def spreadsheet(table: Table) -> str:
    """CSV after RFC 4180: both reference models, every line, and every run that is no result.

    Which columns there are depends on the figures and the attacks, not on the runs. What is not known is empty. Text
    that a spreadsheet would take for a formula begins with an apostrophe.
    """
    written = io.StringIO()
    rows = csv.DictWriter(written, [name for column in table.columns for name in column.fields], restval="")
    rows.writeheader()
    rows.writerows(_rows(table))
    return written.getvalue()


def _rows(table: Table) -> Iterator[dict[str, str]]:
    comparison = table.comparison
    for role in ROLES:
        if comparison.references.get(role):
            yield _row(table, [column.role(role) for column in table.columns])
    for line in comparison.lines:
        yield _row(table, [column.line(line) for column in table.columns])
    for run in comparison.results.invalid:
        yield _row(table, [column.run(run) for column in table.columns])


def _row(table: Table, cells: Sequence[Cell]) -> dict[str, str]:
    """What each cell says in full; it says less than it could where nothing more is known."""
    return {
        name: _written(value)
        for column, cell in zip(table.columns, cells, strict=True)
        for name, value in zip(column.fields, cell.fields, strict=False)
    }


def _written(value: object) -> str:
    """A value: numbers with as many digits as give the same bits again, texts that are no formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else str(value)
    return repr(float(value)) if isinstance(value, float) else str(value)
