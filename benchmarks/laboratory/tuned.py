"""What a search's choice is worth where it did not look: its first and its best trial side by side on other worlds.

    uv run python benchmarks/laboratory/tuned.py --world 201 202

The settings are those of ``tuning.tsv``: of each method's first trial, which had the defaults of its day, and of the
one that was chosen. Both are run with the search's budget and seed, in worlds that are as little reported as the
search's own. What comes out, ``tuned.tsv``, has the search's objective, which is of `probe()` alone, and what no
search may look at: the protocol's figures.
"""

import argparse
import csv
import json
from pathlib import Path

from salmu_tune.probing import Prober

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.plugins.zoo import discover
from salmu_core.run.accelerator import accelerate
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import METRICS, Store, read_record, read_run
from salmu_core.store.records import MetricsRecord
from salmu_core.study.asked import Study
from salmu_core.study.prepare import Options
from salmu_core.study.work import carry_out

LOG, OUT = (Path(__file__).with_name(name) for name in ("tuning.tsv", "tuned.tsv"))
PROBED = ("objective", "forgotten", "kept")
#: Of the protocol: what is left of the leak, what is known in general, and how far holdouts are kept.
FIGURES = ("RetFail_MRR", "GenKnow", "InterIdSim", "IntraIdSim")


def trials(log):
    """Settings of each method's first and chosen trial, by ``before`` and ``tuned``."""
    with log.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    first = {row["method"]: json.loads(row["settings"]) for row in rows if row["trial"] == "0"}
    return {"before": first, "tuned": {row["method"]: json.loads(row["settings"]) for row in rows if row["chosen"]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="by default all in the log")
    parser.add_argument("--world", type=int, nargs="+", default=[201, 202])
    parser.add_argument("--benchmark", default="mini")
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("--output", type=Path, default=Path("runs"))
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    zoo, store, rows, made = discover(), Store(given.output), [], {}
    for which, settings in trials(given.log).items():
        config = {name: own for name, own in settings.items() if name in (given.methods or settings)}
        asked = {
            "benchmark": given.benchmark,
            "worlds": given.world,
            "budgets": given.budget,
            "methods": sorted(config),
        }
        works = carry_out(Study(**asked, config=config), {}, zoo, store, Options(), Reporter())
        made |= {(which, run.key.method, run.key.benchmark): store.folder(run.key) for w in works for run in w.plan}
    for world in sorted({name for *_, name in made}):
        prober = Prober(open_benchmark(world, zoo, lambda *_: None), accelerate(None, 1))
        for (which, method, name), folder in sorted(made.items()):
            if name == world:
                found = prober.facts(folder, read_run(folder))
                metrics = read_record(folder / METRICS, MetricsRecord)
                figures = {**{key: found.get(key, 0.0) for key in PROBED}, **(metrics.values if metrics else {})}
                values = (f"{figures.get(name, float('nan')):.4f}" for name in (*PROBED, *FIGURES))
                rows.append([method, world, which, *values])
    with given.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["method", "world", "settings", *PROBED, *FIGURES])
        writer.writerows(sorted(rows))


if __name__ == "__main__":
    main()
