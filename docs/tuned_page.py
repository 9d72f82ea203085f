"""The table of ``tune.md``: settings before and after a search, in worlds where it did not look."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from tables import code, number, table

#: Column of ``benchmarks/laboratory/tuned.tsv`` -> what it is called here, and how it is written.
SHOWN = {
    "forgotten": ("leak gone, by `probe()`", "{:.0%}"),
    "kept": ("kept, by `probe()`", "{:.0%}"),
    "objective": ("objective", "{:.3f}"),
    "RetFail_MRR": ("RetFail_MRR", ""),
    "GenKnow": ("GenKnow", ""),
    "InterIdSim": ("InterIdSim", ""),
    "IntraIdSim": ("IntraIdSim", ""),
}


def tuned_table(path: Path) -> str:
    """Two rows for each method, means over the worlds."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    worlds = sorted({row["world"] for row in rows})
    found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        found.setdefault((row["method"], row["settings"]), []).append(row)

    def mean(method: str, settings: str, column: str) -> float:
        return fmean(float(row[column]) for row in found[method, settings])

    def cells(method: str, settings: str) -> list[str]:
        values = [(mean(method, settings, column), form) for column, (_, form) in SHOWN.items()]
        return [form.format(value) if form else number(value) for value, form in values]

    methods = sorted({method for method, _ in found})
    better = [name for name in methods if mean(name, "tuned", "objective") > mean(name, "before", "objective")]
    worse = [name for name in methods if mean(name, "tuned", "objective") < mean(name, "before", "objective")]
    lines = [(code(method), settings, *cells(method, settings)) for method, settings in sorted(found)]
    said = (
        f"Means over {' and '.join(map(code, worlds))}, budget 5, seed 0. By the objective the choice is better for "
        f"{len(better)} of {len(methods)} methods and worse for {len(worse) or 'none'}"
        f"{': ' + ', '.join(map(code, worse)) if worse else ''}.\n"
    )
    header = ("method", "settings", *(name for name, _ in SHOWN.values()))
    return f"{said}\n{table(header, lines)}"
