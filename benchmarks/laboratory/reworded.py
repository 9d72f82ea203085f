"""Score a study's checkpoints on the same worlds, told in words that no training had.

    python benchmarks/laboratory/reworded.py RUNS OUT 230 231 232

Only the forget pairs' ranks and the holdouts' cosines are looked at. What comes out is, of each method, the share of
the leak that is gone, by the ranks of Compromised and Clean in the same words, and of the holdouts' similarity that is
kept; means over worlds of means over seeds, with Student's intervals.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from beyond import SIMILARITY, over_worlds
from salmu_mini.build import build_variants
from study import rounded

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.disk.files import new_folder
from salmu_core.judge.results import Row, read_results
from salmu_core.machine import cache_folder
from salmu_core.plugins.zoo import discover
from salmu_core.score.scorer import Scorer
from salmu_core.store.folders import Store

FIGURES = ("RetFail", *SIMILARITY)


def tell(text: str, done: float) -> None:
    """Progress, for people."""
    print(f"{text} ({done:.0%})", file=sys.stderr, flush=True)


class Reworded:
    """A world of `mini` in other words; made once and kept in the cache."""

    def __init__(self, world: int) -> None:
        zoo, name = discover(), f"mini@{world}"
        benchmark = open_benchmark(name, zoo, tell)
        folder = cache_folder() / "variants" / f"{name}-reworded-{benchmark.data_hash[:12]}"
        if not folder.exists():
            with new_folder(folder) as empty:
                build_variants(empty, benchmark.folder, world, (), tell)
        self._benchmark = open_benchmark(str(folder / "reworded"), zoo, tell)
        metrics = [zoo.metrics[name] for name in FIGURES]
        self._scorer = Scorer(self._benchmark, metrics, torch.device("cpu"))
        self.clean, self.compromised = (self.figures(self._benchmark.model(role)) for role in ("clean", "compromised"))

    def figures(self, model: str) -> dict[str, float]:
        """Column -> value of a model."""
        record = self._scorer.compute(model, "", lambda *_: None).record
        if record.errors:
            raise SystemExit(f"{model}: {record.errors}")
        return record.values

    def shares(self, model: str) -> dict[str, float]:
        """What of the leak is gone, and of the holdouts kept."""
        found = self.figures(model)

        def share(name: str) -> float:
            return (found[name] - self.clean[name]) / (self.compromised[name] - self.clean[name])

        leak = next(name for name in found if name.endswith("MRR"))
        return {"leak_gone": 1 - found[leak] / self.compromised[leak], **{name: share(name) for name in SIMILARITY}}


def _share(shares: Mapping[str, Mapping[str, float]], name: str, row: Row, _: object) -> float:
    return shares[str(row.folder)][name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("worlds", type=int, nargs="+")
    options = parser.parse_args()
    store = Store(options.runs)
    results = read_results(store, store.benchmarks())
    shares: dict[str, dict[str, float]] = {}
    rows = defaultdict(list)
    for world in options.worlds:
        reworded = Reworded(world)
        for row in results.rows:
            if row.world == f"mini@{world}":
                shares[str(row.folder)] = reworded.shares(str(row.folder))
                rows[row.method].append(row)
                tell(f"{row.folder}", 1.0)
    found = {
        method: {
            name: over_worlds(results, of_method, partial(_share, shares, name)) for name in ("leak_gone", *SIMILARITY)
        }
        for method, of_method in rows.items()
    }
    text = json.dumps({"worlds": len(options.worlds), "methods": rounded(found)}, indent=1)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
