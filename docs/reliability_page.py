"""The page ``reliability.md``: text of ``reliability.md.template``, tables of what ``benchmarks/reliability`` found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from tables import MARK, prose, table

Data = Mapping[str, Any]

TEXT = Path(__file__).parent / "reliability.md.template"
NOT_YET = "**Not measured yet.**\n"
LOOPS = ("kills", "failures", "traced", "power", "locks", "flips", "machine")


def reliability(found: Data, fuzz: Data) -> str:
    """The whole page.

    Args:
        found: What the loops found.
        fuzz: What the fuzzing of readers found.
    """
    parts = {**found.get("parts", {}), **{f"fuzz {name}": part for name, part in fuzz.get("parts", {}).items()}}
    lines = [line for part in parts.values() for line in part["lines"]]
    trials, wrong = (sum(line.get(name, 0) for line in lines) for name in ("times", "times_wrong"))
    facts = {"mark": MARK, "trials": f"{trials:,}", "good": f"{trials - wrong:,}", "wrong": f"{wrong:,}"}
    tables = {name: _part(parts.get(name)) for name in LOOPS}
    readers = [_part(part) for name, part in parts.items() if name.startswith("fuzz ")]
    return Template(TEXT.read_text(encoding="utf-8")).substitute(facts, **tables, fuzz="\n".join(readers) or NOT_YET)


def _part(part: Data | None) -> str:
    """The table of one loop, and where it was made."""
    if part is None:
        return NOT_YET
    faults = {
        line["fault"]: "; ".join(_outcome(o) for o in part["lines"] if o["fault"] == line["fault"])
        for line in part["lines"]
    }
    rows = [(prose(fault).removeprefix("a spoiled file: "), outcomes) for fault, outcomes in faults.items()]
    trials = sum(line["times"] for line in part["lines"])
    where = (
        f"{trials:,} trials on {part['date']} at commit {part['commit']}, in {part['seconds']:,} seconds, with seed "
        f"{part['seed']}, on {part['system']} with Python {part['python']}.\n"
    )
    return table(("fault", "what came of it, and how often"), rows) + "\n" + where


def _outcome(line: Data) -> str:
    """In bold where something should not have been, with the first of what."""
    wrong = line.get("times_wrong", 0)
    outcome = f"{prose(line['outcome'])} {line['times']:,}"
    return f"**{outcome}**, wrong in {wrong:,}: {prose(line['wrong'][0])}" if wrong else outcome
