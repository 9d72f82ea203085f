"""The table as CSV, for spreadsheets and programs: every interval, in full precision."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from salmu_core.judge.columns import Column
from salmu_core.judge.compare import labels
from salmu_core.judge.diagnosis import MODES
from salmu_core.judge.lines import HOLDOUT_PLACE, Comparison, Figure, Line, interval_json
from salmu_core.judge.protocol import HOLDOUTS, KNOWLEDGE, LEAK, RETRIEVALS
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Interval
from salmu_core.judge.tails import TAILS
from salmu_core.show.leaderboard import ROLES, metric_errors

_FACTS = ("status", "reason", "benchmark", "method", "label", "config_hash", "retain", "budget")
_RUNS = ("runs", "worlds", "seeds", "needs", "seconds")
_ENDS = ("value", "low", "high")
_GAP = ("difference", "difference_low", "difference_high")
_JUDGED = ("p", "margin", "equivalent", "missed", "in_sample")
_WHY = ("unlike_clean", "only_unlike_clean", "worse_than_never_seen")
#: Aim -> what the columns of its places are called.
_AIMS = {LEAK: "leak", KNOWLEDGE: "knowledge", HOLDOUT_PLACE: "holdouts"}
#: What a spreadsheet takes for the beginning of a formula; the last four are the same signs in full width.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def spreadsheet(found: Comparison, shown: Sequence[Column]) -> str:
    """CSV after RFC 4180: both reference models, every line, and every run that is no result.

    Which columns there are depends on the figures, not on the runs. What is not known is empty. Text that a spreadsheet
    would take for a formula begins with an apostrophe.

    Args:
        found: The table.
        shown: Figures with their targets.
    """
    told = labels(found.results.rows)
    rows = [
        *(_role(found, role, shown) for role in ROLES if found.references.get(role)),
        *(_line(line, shown) for line in found.lines),
        *(_no_result(row, told) for row in found.results.invalid),
    ]
    written = io.StringIO()
    table = csv.DictWriter(written, _header(shown), restval="", lineterminator="\r\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _cell(value) for name, value in {"benchmark": found.results.benchmark, **row}.items()})
    return written.getvalue()


def _header(shown: Sequence[Column]) -> list[str]:
    def figures(primary: bool) -> list[str]:
        return [f"{c.name}.{what}" for c in shown if c.primary is primary for what in (*_ENDS, *_GAP, *_JUDGED)]

    verdicts = [
        *(f"leakage_reduction.{end}" for end in _ENDS),
        "leakage_bar",
        *(f"knowledge_change.{end}" for end in _ENDS),
        *(f"holdout_retention.{name}.{end}" for name in (*HOLDOUTS, *RETRIEVALS) for end in _ENDS),
        *(f"failure_modes.{mode}" for mode in MODES),
        *_WHY,
        *(f"places.{aim}.{end}" for aim in _AIMS.values() for end in ("first", "last")),
        *(f"fronts.{_AIMS[aim]}" for aim in (KNOWLEDGE, HOLDOUT_PLACE)),
    ]
    tails = [f"tails.{name}.{end}" for name in TAILS for end in _ENDS]
    return [*_FACTS, *_RUNS, *figures(True), *verdicts, *figures(False), *tails]


def _role(found: Comparison, role: str, shown: Sequence[Column]) -> dict[str, Any]:
    worlds = found.results.worlds
    facts = {"status": "reference", "method": role, "label": role.capitalize()}
    return {**facts, "runs": len(worlds), "worlds": " ".join(worlds), **_measured(found.references[role], shown)}


def _line(line: Line, shown: Sequence[Column]) -> dict[str, Any]:
    diagnosis, known = line.diagnosis, line.diagnosis.evidence
    config_hash, _, retain = line.config_hash.partition("-")
    row: dict[str, Any] = {
        "status": "valid",
        "reason": " ".join(metric_errors(line.rows)),
        "method": line.method,
        "label": line.label,
        "config_hash": config_hash,
        "retain": retain,
        "budget": line.budget,
        "runs": len(line.rows),
        "worlds": " ".join(dict.fromkeys(row.world for row in line.rows)),
        "seeds": " ".join(map(str, sorted({row.seed for row in line.rows}))),
        "needs": line.needs,
        "seconds": line.seconds,
        **_measured({**line.figures, **line.tails}, shown),
        **_ends("leakage_reduction", known.reduction),
        "leakage_bar": known.bar,
        **_ends("knowledge_change", known.knowledge),
        **{f"failure_modes.{mode}": verdict for mode, verdict in diagnosis.verdicts.items()},
        "unlike_clean": known.unlike_clean,
        "only_unlike_clean": diagnosis.only_unlike_clean,
        "worse_than_never_seen": diagnosis.worse_than_never_seen,
        **{f"fronts.{_AIMS[aim]}": where.value for aim, where in line.fronts.items()},
    }
    for name, kept in known.retention.items():
        row |= _ends(f"holdout_retention.{name}", kept)
    for aim, (first, last) in line.places.items():
        row |= {f"places.{_AIMS[aim]}.first": first, f"places.{_AIMS[aim]}.last": last}
    return row | {f"{c.name}.in_sample": c.name in line.in_sample for c in shown if c.name in line.figures}


def _no_result(row: Row, told: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    facts = {"status": row.status, "reason": row.reason, "method": row.method, "runs": 1, "worlds": row.world}
    record = row.record
    if record is None:
        return {**facts, "label": row.method}
    return {
        **facts,
        "label": told[row.method, record.variant],
        "config_hash": record.config_hash,
        "retain": record.retain.digest,
        "budget": record.budget,
        "seeds": str(record.seed),
        "needs": record.needs,
        "seconds": record.ledger.seconds,
    }


def _measured(figures: Mapping[str, Figure], shown: Sequence[Column]) -> dict[str, Any]:
    """Figures and tails of a line or a reference model."""
    row: dict[str, Any] = {}
    for name in (column.name for column in shown if column.name in figures):
        figure = figures[name]
        row |= _ends(name, figure.value)
        if gap := figure.difference:
            row |= {f"{name}.{what}": end for what, end in zip(_GAP, interval_json(gap).values(), strict=True)}
        row |= {f"{name}.{what}": getattr(figure, what) for what in ("p", "margin", "equivalent", "missed")}
    for name in (name for name in TAILS if name in figures):
        row |= _ends(f"tails.{name}", figures[name].value)
    return row


def _ends(name: str, found: Interval | None) -> dict[str, float | None]:
    return {f"{name}.{end}": value for end, value in interval_json(found).items()} if found else {}


def _cell(value: object) -> str:
    """A cell: numbers with as many digits as give the same bits again, texts that are no formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else str(value)
    return repr(float(value)) if isinstance(value, float) else str(value)
