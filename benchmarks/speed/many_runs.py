"""Makes a results folder of many runs out of a finished study: the same runs under many seeds.

    uv run python benchmarks/speed/many_runs.py RUNS OUT [--runs 270]

Every run gets a record and a table of rows of its own, in which a tenth of the rows have the values of other rows;
figures are the means of the new rows. Weights and retrieved captions are hard links to those of the study. Needs no
part of SALMU, so that several releases can be measured on one folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from salmu_core.disk.record import FileSeal, seal_of

#: Share of a figure's rows that get the values of other rows.
SHARE = 0.1


def make(study: Path, out: Path, runs: int = 270) -> int:
    """Write ``runs`` runs, or a few more: each run of the study under as many seeds.

    Args:
        study: A results folder in which no run has a seed but 0.
        out: The folder to write; it must not exist.

    Returns:
        How many runs there are.
    """
    folders = sorted(path.parent for path in study.glob("*/*/*/*/run.json"))
    if not folders:
        raise SystemExit(f"{study} holds no run")
    for references in study.glob("*/_references"):
        shutil.copytree(references, out / references.relative_to(study))
    seeds = -(-runs // len(folders))
    for folder in folders:
        rows = pq.read_table(folder / "per_row.parquet")
        figures = rows_of_figures(rows)
        for seed in range(seeds):
            to = out / folder.parent.relative_to(study) / folder.name.replace("-s0", f"-s{seed}")
            copy_run(folder, to, seed, moved(rows["value"].to_numpy(), figures.values(), seed), rows, figures)
    return seeds * len(folders)


def rows_of_figures(rows: pa.Table) -> dict[tuple[str, str], NDArray[np.intp]]:
    """Metric and column -> the numbers of its rows."""
    metrics, columns = (np.asarray(rows[key].cast(pa.string())) for key in ("metric", "column"))
    names = dict.fromkeys(zip(metrics, columns, strict=True))
    return {name: np.flatnonzero((metrics == name[0]) & (columns == name[1])) for name in names}


def moved(values: NDArray[np.float64], figures: Iterable[NDArray[np.intp]], seed: int) -> NDArray[np.float64]:
    """The values of a run with some moved to other rows, those of one metric's columns together."""
    values = values.copy()
    for mine in figures:
        rng = np.random.default_rng([seed, len(mine)])
        places = rng.permutation(len(mine))[: int(SHARE * len(mine))]
        values[mine[places]] = values[mine[rng.integers(0, len(mine), len(places))]]
    return values


def copy_run(
    folder: Path,
    to: Path,
    seed: int,
    values: NDArray[np.float64],
    rows: pa.Table,
    figures: Mapping[tuple[str, str], NDArray[np.intp]],
) -> None:
    """One run under another seed, with other values in its rows."""
    to.mkdir(parents=True)
    for file in folder.iterdir():
        if file.name not in {"run.json", "metrics.json", "per_row.parquet"}:
            (to / file.name).hardlink_to(file)
    _write(to / "run.json", {**json.loads((folder / "run.json").read_text(encoding="utf-8")), "seed": seed})
    table = rows.set_column(rows.schema.get_field_index("value"), "value", pa.array(values))
    pq.write_table(table, to / "per_row.parquet")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metrics["files"]["per_row.parquet"] = FileSeal.of(to / "per_row.parquet").model_dump()
    for (metric, column), mine in figures.items():
        if column in metrics["metrics"][metric]["values"]:
            metrics["metrics"][metric]["values"][column] = float(values[mine].mean())
    _write(to / "metrics.json", metrics)


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps({**record, "seal": seal_of(record)}, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=270)
    given = parser.parse_args()
    print(f"{given.out}: {make(given.study, given.out, given.runs)} runs")


if __name__ == "__main__":
    main()
