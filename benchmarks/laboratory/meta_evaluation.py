"""Judges the metrics: do they see what they should, in order, and nothing else?

A metric of unlearning is worth something if, world after world, it tells Compromised from Clean (*separation*); if it
follows how much of the sensitive set a model was trained on, 0, 25, 50, 75 or 100% (*response*); and if it stays where
it is when images are made smaller or sentences reworded, which changes nothing that was memorised (*stability*). After
Dorna et al. 2025 (arXiv 2506.12618), who judge metrics of unlearning language models by faithfulness and robustness.

    uv run python benchmarks/laboratory/meta_evaluation.py --world 0-2 > benchmarks/laboratory/metrics.json

Three models and two changed data folders are made for each world: about five minutes on two cores.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from salmu_mini.build import build_variants
from scipy import stats

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.layout import PILLARS
from salmu_core.disk.files import new_folder
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.statistics import Clusters, holm, interval_json
from salmu_core.machine import cache_folder
from salmu_core.plugins.zoo import discover
from salmu_core.score.scorer import Scorer
from salmu_core.study.asked import Study
from salmu_core.study.parsing import parse_numbers

PERCENTS = (25, 50, 75)
CHANGES = ("resized", "reworded")


def measure(name, world, zoo):
    """Values of all columns: of five models on the data as they are, and of both references on changed data."""
    benchmark = open_benchmark(name, zoo, lambda stage, done: tell(f"{name}: {stage}", done))
    folder = cache_folder() / "variants" / f"{name}-{benchmark.data_hash[:12]}"
    if not folder.exists():
        with new_folder(folder) as empty:
            build_variants(empty, benchmark.folder, world, PERCENTS, lambda stage, done: tell(f"{name}: {stage}", done))
    metrics = list(zoo.metrics.values())
    scorer = Scorer(benchmark, metrics, torch.device("cpu"))
    models = {0: benchmark.model("clean"), 100: benchmark.model("compromised")}
    models |= {percent: f"local-dir:{folder / str(percent)}" for percent in PERCENTS}
    values = {"response": {}, "changed": {}}
    for percent, model in sorted(models.items()):
        values["response"][percent] = score(scorer, model)
        tell(f"{name}: {percent}% scored", 1.0)
    for change in CHANGES:
        scorer = Scorer(open_benchmark(str(folder / change), zoo, lambda *_: None), metrics, torch.device("cpu"))
        values["changed"][change] = {percent: score(scorer, models[percent]) for percent in (0, 100)}
        tell(f"{name}: {change} scored", 1.0)
    return values


def score(scorer, model):
    """Column -> value of one model."""
    record = scorer.compute(model, "", lambda *_: None).record
    if record.errors:
        raise SystemExit(f"{model}: {record.errors}")
    return record.values


def tell(text, done):
    """Progress, for people."""
    print(f"{text} ({done:.0%})", file=sys.stderr, flush=True)


def judge(column, worlds):
    """What one figure is worth, from what was measured in each world; a share of no distance is None."""
    shares = (0, *PERCENTS, 100)
    values = [{share: world["response"][share][column] for share in shares} for world in worlds]
    gaps = [value[100] - value[0] for value in values]
    repeats = Repeats({str(world): {0: Clusters.alone(gap)} for world, gap in enumerate(gaps)})
    sign = 1 if repeats.value >= 0 else -1
    orders = [sign * float(stats.spearmanr(shares, [value[p] for p in shares]).statistic) for value in values]
    apart = all(abs(gap) > 1e-12 for gap in gaps)

    def mean(numbers):
        return sum(numbers) / len(numbers)

    def moved(change):
        worst = [
            max(abs(world["changed"][change][p][column] - value[p]) for p in (0, 100)) / abs(gap)
            for world, value, gap in zip(worlds, values, gaps, strict=True)
        ]
        return mean(worst)

    return {
        "clean": mean([value[0] for value in values]),
        "compromised": mean([value[100] for value in values]),
        "separation": interval_json(repeats.interval()),
        "p": repeats.p_value(),
        "one_sign": len({gap > 0 for gap in gaps}) == 1,
        "response": {
            p: mean([(value[p] - value[0]) / gap for value, gap in zip(values, gaps, strict=True)]) if apart else None
            for p in shares
        },
        "order": mean(orders) if all(order == order for order in orders) else None,
        "moved": {change: moved(change) if apart else None for change in CHANGES},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", action="append", default=None, metavar="W[-W]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    zoo = discover()
    numbers = parse_numbers(given.world or ["0-2"], "--world", "worlds")
    names = Study(worlds=tuple(numbers)).benchmarks
    worlds = [measure(name, world, zoo) for name, world in zip(names, numbers, strict=True)]
    figures = {
        name: {"pillar": metric.spec.pillar, "target": metric.spec.target, **judge(name, worlds)}
        for pillar in PILLARS
        for metric in sorted(zoo.metrics.values(), key=lambda metric: not metric.spec.primary)
        if metric.spec.pillar == pillar
        for name in metric.spec.columns
    }
    for name, p in holm({name: figure["p"] for name, figure in figures.items()}).items():
        figures[name]["separated"] = p < 0.05 and figures[name]["one_sign"]
    table = {
        "command": f"python benchmarks/laboratory/meta_evaluation.py --world {','.join(map(str, numbers))}",
        "worlds": names,
        "figures": figures,
    }
    print(json.dumps(table, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
