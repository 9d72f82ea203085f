"""Hold `counterfactual` against what it was made to reach: ``python benchmarks/laboratory/beyond.py FOLDER``.

What comes out, ``beyond.json`` beside this file, holds figures with their intervals and no run; pages and pictures are
made from it. The folder has one folder of results for each part of the study, by the name that `PARTS` gives; a part
that is not there yet is left as it was.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from study import rounded

from salmu_core.judge.compare import compare
from salmu_core.judge.lines import Line
from salmu_core.judge.results import Results, Row, read_results
from salmu_core.judge.statistics import CONFIDENCE, interval_json
from salmu_core.store.folders import Store

HERE = Path(__file__).parent
DATA = HERE / "beyond.json"
ATTACKS = "--attack bare-value,linear-readout,relearn-retain,relearn-leaked"
BOTH = "salmu run counterfactual cliperase --benchmark"
#: Part of the study -> what made it; the first confirmation was of the method as commit 1c39f94 has it.
PARTS = {
    "confirmation": f"{BOTH} mini --world 230-234 --seed 0-2 --budget 10 {ATTACKS}",
    "first": f"{BOTH} mini --world 210-214 --seed 0-2 --budget 10 {ATTACKS}",
    "others": "salmu run delete descent-to-delete direct-similarity finetuning generic-captions negative-gradient "
    "shuffled-captions vlunlearn --benchmark mini --world 230-234 --budget 10",
    "ablation": "salmu run --config benchmarks/laboratory/beyond_ablation.toml --attack linear-readout,relearn-leaked",
    "requests": f"{BOTH} mini --world 201 --requests 10 --budget 10",
    "architecture": f"{BOTH} deeper --budget 10 {ATTACKS}",
    "full": f"{BOTH} standin --budget 2 {ATTACKS}",
}
#: What `reworded.py` writes of the confirmation.
REWORDED = "reworded.json"
#: Figures that the goals are about.
RETRIEVAL = ("InterIdRet", "IntraIdRet")
SIMILARITY = ("InterIdSim", "IntraIdSim")
VISUAL = ("VisIdInt", "FragSim")


def over_worlds(results: Results, rows: Iterable[Row], make: Callable[[Row, Mapping[str, Any]], float]) -> Any:
    """Mean over worlds of the mean over seeds, with Student's interval over worlds.

    Args:
        results: Where the references are.
        rows: Runs.
        make: ``make(run, references of its world)``: a number.
    """
    worlds: dict[str, list[float]] = {}
    for row in rows:
        worlds.setdefault(row.world, []).append(make(row, results.references[row.world]))
    means = np.array([np.mean(values) for values in worlds.values()])
    value = float(means.mean())
    if len(means) < 2:
        return {"value": value, "low": None, "high": None}
    half = student.ppf((1 + CONFIDENCE) / 2, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))
    return {"value": value, "low": value - half, "high": value + half}


def figures(results: Results, line: Line) -> dict[str, Any]:
    """What the goals are about, of one line."""

    def of_compromised(name: str) -> Callable[[Row, Mapping[str, Any]], float]:
        return lambda row, references: row.metrics[name] / references["compromised"].metrics[name]

    def gone(name: str) -> Callable[[Row, Mapping[str, Any]], float]:
        def share(row: Row, references: Mapping[str, Any]) -> float:
            clean, compromised = (references[role].metrics[name] for role in ("clean", "compromised"))
            return float((compromised - row.metrics[name]) / (compromised - clean))

        return share

    evidence = line.diagnosis.evidence
    assert evidence.reduction and evidence.knowledge
    return {
        "leak_gone": interval_json(evidence.reduction),
        "like_clean": evidence.unlike_clean,
        "gap_closed": over_worlds(results, line.rows, gone("AssocStr")),
        "core_gap_closed": over_worlds(results, line.rows, gone("CoreAssoc")),
        "knowledge": interval_json(evidence.knowledge),
        "kept": {name: interval_json(evidence.retention[name]) for name in SIMILARITY},
        "retrieval": {name: over_worlds(results, line.rows, of_compromised(name)) for name in RETRIEVAL},
        "visual": {name: over_worlds(results, line.rows, of_compromised(name)) for name in VISUAL},
        "figures": {name: interval_json(figure.value) for name, figure in line.figures.items()},
        "failure_modes": dict(line.diagnosis.verdicts),
        "only_unlike_clean": line.diagnosis.only_unlike_clean,
        "attacks": [recovery.as_json() for recovery in line.recoveries],
        "worlds": line.worlds,
        "runs": len(line.rows),
        "seconds": line.seconds,
        "captions": float(np.mean([row.record.ledger.forward_captions for row in line.rows if row.record])),
        "images": float(np.mean([row.record.ledger.forward_images for row in line.rows if row.record])),
    }


def part_of(folder: Path) -> dict[str, Any]:
    """Every line of a folder of results, its worlds, and the two references."""
    store = Store(folder)
    results = read_results(store, store.benchmarks())
    if results.invalid:
        raise SystemExit(f"{folder} holds runs without a result: {results.invalid[0].folder}")
    comparison = compare(results, results.columns)
    return {
        "worlds": results.worlds,
        "references": {
            role: {name: interval_json(figure.value) for name, figure in of_role.items()}
            for role, of_role in comparison.references.items()
        },
        "lines": [
            {"label": line.label, "method": line.method, "budget": line.budget, **figures(results, line)}
            for line in comparison.lines
            if line.rows
        ],
    }


def measure(folder: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """Every part, measured or as it was."""
    parts = dict(known)
    for name, command in PARTS.items():
        if Store(folder / name).benchmarks():
            parts[name] = {"command": command, **rounded(part_of(folder / name))}
    if (folder / REWORDED).exists():
        parts["reworded"] = json.loads((folder / REWORDED).read_text(encoding="utf-8"))
    return parts


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=DATA)
    options = parser.parse_args(given)
    known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    text = json.dumps(measure(options.folder, known), indent=1, ensure_ascii=False)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
