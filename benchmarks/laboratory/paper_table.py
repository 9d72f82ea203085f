"""Prints our table beside the published one, with the rank correlation of each column.

    uv run salmu run --all --world 0-4 --seed 0-2
    uv run python benchmarks/laboratory/paper_table.py runs

The published figures are those of SALMUBench at a budget of 5 (arXiv 2603.26316), on a ViT-B/16; ours are of `mini`,
whose sizes can't agree; the order of the methods can. With the real benchmark the values can too:

    uv run salmu run --all --benchmark salmubench
    uv run python benchmarks/laboratory/paper_table.py runs --benchmark salmubench
"""

import argparse
import json
from pathlib import Path

from rich.table import Table
from scipy import stats

from salmu_core.cli.output import console
from salmu_core.judge.compare import compare
from salmu_core.judge.results import read_results
from salmu_core.store.folders import Store

PUBLISHED = Path(__file__).parents[2] / "tests" / "data" / "published.json"
NAMES = {
    "CLIPErase": "cliperase",
    "DELETE": "delete",
    "VLUnlearn": "vlunlearn",
    "Finetuning": "finetuning",
    "Negative Gradient": "negative-gradient",
    "Shuffled Captions": "shuffled-captions",
    "Direct Similarity Minimization": "direct-similarity",
}
COLUMNS = ("RetFail_MRR", "GenKnow", "InterIdSim", "IntraIdSim")
BUDGET = 5


def beside(ours):
    """Column -> method -> (published, ours), and column -> Spearman's rho.

    Args:
        ours: Method -> column -> value, at the published budget.
    """
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))["paper_table_budget_5"]
    pairs = {
        column: {NAMES[name]: (row[column], ours[NAMES[name]][column]) for name, row in published.items()}
        for column in COLUMNS
    }
    rho = {
        column: float(stats.spearmanr(*zip(*values.values(), strict=True)).statistic)
        for column, values in pairs.items()
    }
    return pairs, rho


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--benchmark", default="mini", help="whose results, in all its worlds (default: mini)")
    given = parser.parse_args()
    store = Store(given.runs)
    worlds = [name for name in store.benchmarks() if name.partition("@")[0] == given.benchmark]
    if not worlds:
        raise SystemExit(f"{given.runs} has no results of {given.benchmark}")
    results = read_results(store, worlds)
    comparison = compare(results, results.columns)
    ours = {
        line.label: {name: figure.repeats.value for name, figure in line.figures.items()}
        for line in comparison.lines
        if line.budget == BUDGET
    }
    if missing := sorted(set(NAMES.values()) - ours.keys()):
        raise SystemExit(f"{given.runs} has no runs of {', '.join(missing)} at a budget of {BUDGET}")
    pairs, rho = beside(ours)
    over = f"over {len(worlds)} worlds of {given.benchmark}" if len(worlds) > 1 else f"on {given.benchmark}"
    table = Table(title=f"published, and ours {over}", title_justify="left")
    table.add_column("method")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for method in NAMES.values():
        table.add_row(method, *("{:.3f}  {:.3f}".format(*pairs[column][method]) for column in COLUMNS))
    table.add_section()
    table.add_row("Spearman's rho", *(f"{rho[column]:+.2f}" for column in COLUMNS))
    console().print(table)


if __name__ == "__main__":
    main()
