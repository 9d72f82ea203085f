"""What a search's choice is worth where it did not look: default and chosen settings side by side on other worlds.

    uv run python benchmarks/laboratory/tuned.py runs/_tune/mini@200-b5-s0 --world 201 202

Every method is run in each world at its default and at the settings that the search chose, with the search's budget and
seed. The worlds are as little reported as the search's own. What comes out, ``tuned.tsv`` beside this file, has the
search's objective, which is of `probe()` alone, and what no search may look at: the protocol's figures.
"""

import argparse
import csv
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
from salmu_core.study.tuned import read_tuned
from salmu_core.study.work import carry_out

OUT = Path(__file__).with_name("tuned.tsv")
#: Of the protocol: what is left of the leak, what is known in general, and how far holdouts are kept.
FIGURES = ("RetFail_MRR", "GenKnow", "InterIdSim", "IntraIdSim")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=Path, help="the folder that `salmu tune` names at its end")
    parser.add_argument("--world", type=int, nargs="+", default=[201, 202])
    parser.add_argument("--benchmark", default="mini")
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("--output", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    tuned, zoo, store, rows = read_tuned(given.search), discover(), Store(given.output), []
    studies = {"default": {}, "tuned": {"tuned": str(given.search)}}
    common = {"benchmark": given.benchmark, "worlds": given.world, "budgets": given.budget, "methods": sorted(tuned)}
    made = {}
    for settings, more in studies.items():
        works = carry_out(Study.model_validate(common | more), {}, zoo, store, Options(), Reporter())
        made |= {(settings, run.key.method, run.key.benchmark): store.folder(run.key) for w in works for run in w.plan}
    for world in sorted({name for *_, name in made}):
        prober = Prober(open_benchmark(world, zoo, lambda *_: None), accelerate(None, 1))
        for (settings, method, name), folder in sorted(made.items()):
            if name == world:
                found = prober.facts(folder, read_run(folder))
                metrics = read_record(folder / METRICS, MetricsRecord)
                values = metrics.values if metrics else {}
                probe = [found.get(key, 0.0) for key in ("objective", "forgotten", "kept")]
                figures = [values.get(column, float("nan")) for column in FIGURES]
                rows.append([method, world, settings, *(f"{value:.4f}" for value in (*probe, *figures))])
    with given.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["method", "world", "settings", "objective", "forgotten", "kept", *FIGURES])
        writer.writerows(sorted(rows))


if __name__ == "__main__":
    main()
