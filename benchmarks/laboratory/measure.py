"""Boil a results folder down to the figures the documentation shows: ``python benchmarks/laboratory/measure.py RUNS``.

The folder is one that ``salmu run --all`` made on ``mini``; of a larger study the runs at a budget of 5 with the seed 0
are taken. What comes out is small enough to be committed; pages and
pictures are made from it, so that no figure in the documentation is typed by hand.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from packaging.requirements import Requirement
from rich.console import Console, RenderableType

from salmu_core.contract.layout import ROLES
from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import Diagnosis, Evidence, Verdict
from salmu_core.judge.lines import Comparison
from salmu_core.judge.results import Results, Row, read_results
from salmu_core.plugins.zoo import discover
from salmu_core.show import overview
from salmu_core.show import terminal as tables
from salmu_core.show.table import table
from salmu_core.store.folders import METRICS, Store, read_record
from salmu_core.store.records import MetricsRecord, RunRecord
from salmu_core.store.schema import ROWS

DATA = Path(__file__).parent / "mini.json"
#: The metric whose per-row values are the cosines of a split.
COSINES = {
    "forget": "AssocStr",
    "holdout_association": "IntraIdSim",
    "holdout_identity": "InterIdSim",
    "retain_joint": "VisIdInt",
    "fragile_set": "FragSim",
}
BINS = 40
EDGES = np.linspace(-1, 1, BINS + 1)
LEDGER = (
    "forget_samples",
    "retain_samples",
    "reference_samples",
    "forward_images",
    "steps",
    "seconds",
    "weights_changed",
)
DIGITS = 6
#: Columns of the terminal the table is printed for.
WIDTH = 100
#: What the first screen says of where the rest is.
COMMANDS = ("salmu results --full", "salmu report")
#: The parts of all tables, and how the first line of each begins.
PARTS = {
    "efficacy": "mini: efficacy",
    "utility": "mini: utility",
    "verdicts": "Verdicts",
    "places": "Places",
    "tails": "mini: tails",
}
BUDGET, SEED = 5.0, 0


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """The same figures, to as many digits as anybody reads."""
    return {name: round(value, DIGITS) for name, value in values.items()}


def histograms(folder: Path) -> dict[str, list[int]]:
    """Split -> number of its rows in each bin of their cosine."""
    table = pq.read_table(folder / ROWS, columns=["column", "value"])
    column, value = np.array(table["column"].to_pylist()), table["value"].to_numpy()
    return {
        split: np.histogram(np.clip(value[column == name], -1, 1), EDGES)[0].tolist() for split, name in COSINES.items()
    }


def gallery(folder: Path) -> dict[str, Any]:
    """How large the gallery of RetFail was."""
    record = read_record(folder / METRICS, MetricsRecord)
    if record is None:
        return {}
    found = record.metrics["RetFail"]
    return {"gallery": found.gallery, "gallery_private": found.gallery_like, "chance": found.chance, **found.details}


def run_row(row: Row, record: RunRecord, diagnosis: Diagnosis) -> dict[str, Any]:
    """What the documentation shows of one run."""
    ledger, evidence = record.ledger.model_dump(), diagnosis.evidence
    return {
        "method": row.method,
        "status": row.status,
        "failure_modes": diagnosis.modes(Verdict.HOLDS) if diagnosis.judged else None,
        "open_modes": diagnosis.modes(Verdict.OPEN),
        "leakage_reduction": evidence.reduction.value if evidence.reduction else None,
        "holdout_retention": rounded({name: kept.value for name, kept in evidence.retention.items()}),
        "metrics": rounded(row.metrics),
        "metric_errors": dict(row.errors),
        "ledger": {name: round(ledger[name], DIGITS) for name in LEDGER},
        "histograms": histograms(row.folder) if row.status == "valid" else {},
    }


def terminal(comparison: Comparison) -> dict[str, list[str]]:
    """What the command line prints of a first run: the first screen, and all tables, cut into their parts."""
    whole, notice = table(comparison, comparison.columns), discover().benchmarks["mini"].spec.notice
    parts = {"overview": printed(overview.render(whole, notice, WIDTH, COMMANDS))}
    part = "notice"
    for line in printed(tables.render(whole, notice, WIDTH)):
        part = next((name for name, head in PARTS.items() if line.startswith(head)), part)
        parts.setdefault(part, []).append(line)
    return parts


def shipped() -> set[str]:
    """Distributions that ``pip install salmu`` brings."""
    needs = map(Requirement, requires("salmu") or [])
    return {need.name for need in needs if need.marker is None}


def printed(report: RenderableType) -> list[str]:
    """Lines of text."""
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(report)
    return [line.rstrip() for line in console.export_text().splitlines()]


def measure(folder: Path) -> dict[str, Any]:
    """The whole table."""
    store = Store(folder)
    whole = read_results(store, ["mini"])
    rows = [row for row in whole.rows if row.record and (row.record.budget, row.record.seed) == (BUDGET, SEED)]
    comparison = compare(Results(whole.benchmark, whole.references, rows), whole.columns)
    verdicts = {row.folder: line.diagnosis for line in comparison.lines for row in line.rows}
    none, brought = Diagnosis(Evidence(), {}), shipped()
    ours = {name for name, it in discover().methods.items() if it.distribution in brought}
    first_run = Results(whole.benchmark, whole.references, [row for row in rows if row.method in ours])
    records = [(row, row.record) for row in rows if row.record is not None]
    first = records[0][1]
    references = {role: store.reference("mini", role) for role in ROLES}
    return {
        "command": "salmu run --all",
        "benchmark": whole.benchmark,
        "data_hash": first.benchmark.data_hash,
        "budget": first.budget,
        "seed": first.seed,
        # Not the platform: it names a kernel, which says nothing about the figures.
        "environment": {name: value for name, value in first.environment.items() if name != "platform"},
        "gallery": gallery(references["clean"]),
        "bin_edges": [round(float(edge), 3) for edge in EDGES],
        "references": {
            role: {"metrics": rounded(whole.references["mini"][role].metrics), "histograms": histograms(path)}
            for role, path in references.items()
        },
        "terminal": terminal(compare(first_run, whole.columns)),
        "runs": sorted(
            (run_row(row, record, verdicts.get(row.folder, none)) for row, record in records),
            key=lambda run: str(run["method"]),
        ),
    }


def text(table: Mapping[str, Any]) -> str:
    """JSON with one line a histogram or line of text, so that a new measurement is a readable difference."""

    def lay_out(value: Any, indent: str) -> str:
        flat = json.dumps(value, ensure_ascii=False)
        text_lines = isinstance(value, list) and any(isinstance(v, str) and len(v) > 40 for v in value)
        if not isinstance(value, dict | list) or not (
            text_lines or any(isinstance(v, dict | list) for v in _items(value))
        ):
            return flat
        inner = indent + " "
        if isinstance(value, dict):
            parts = [f"{inner}{json.dumps(k)}: {lay_out(v, inner)}" for k, v in value.items()]
            return "{\n" + ",\n".join(parts) + "\n" + indent + "}"
        return "[\n" + ",\n".join(inner + lay_out(v, inner) for v in value) + "\n" + indent + "]"

    return lay_out(dict(table), "") + "\n"


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="results folder of `salmu run --all`")
    parser.add_argument("out", type=Path, nargs="?", default=DATA, help="the file to write")
    arguments = parser.parse_args()
    arguments.out.write_text(text(measure(arguments.runs)), encoding="utf-8")


if __name__ == "__main__":
    main()
