"""Chooses default learning rates without looking at a reported metric.

Every method gets the same grid and the same budget on a world that is not reported, and is scored by `probe()` alone:
estimates on pairs it may see anyway. Of the rates after which the leak on the forget slice is gone, the one that
keeps most of the retain slice is taken; where none ends the leak, of those that keep the retain slice, the one that
leaks least.

    uv run python benchmarks/learning_rates.py > benchmarks/learning_rates.tsv
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import statistics
import sys

import torch
from accelerate import Accelerator

from salmu_core.benchmark import open_benchmark
from salmu_core.config import TrainingConfig
from salmu_core.engine import Engine
from salmu_core.meter import Meter
from salmu_core.plugins import discover
from salmu_core.runner import run_one
from salmu_core.session import TrainingSession

GRID = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
#: Of the leak of Compromised, what may be left.
GONE = 0.05
#: Of the retain slice's reciprocal rank, what must be left.
KEPT = 0.9


def probe(model, session, accelerator):
    """The estimates of a finished model."""
    return Engine(
        model=model,
        reference=session.clip.model,
        pools=session.pools,
        config=TrainingConfig(),
        seed=0,
        meter=Meter(1, len(session.pools["forget"])),
        accelerator=accelerator,
        num_train=session.num_train,
    ).probe()


def choose(scores):
    """The rate to take, from rate -> (share of the leak left, share of the retain slice's rank left)."""
    if gone := [rate for rate, (leak, _) in scores.items() if leak <= GONE]:
        return max(gone, key=lambda rate: scores[rate][1])
    kept = [rate for rate, (_, keep) in scores.items() if keep >= KEPT]
    return min(kept or scores, key=lambda rate: scores[rate][0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, nargs="+", default=[100])
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("methods", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    zoo = discover()
    methods = [m for m in given.methods or zoo.methods if "lr" in zoo.methods[m].spec.config.model_fields]
    found = {}
    for world in given.worlds:
        accelerator = Accelerator()
        session = TrainingSession.open(open_benchmark(f"mini@{world}", zoo, lambda *_: None), accelerator)
        before = probe(session.clip.model, session, accelerator)
        for method in methods:
            spec = zoo.methods[method].spec
            for rate in GRID:
                outcome = run_one(spec, spec.config(lr=rate), given.budget, 0, session, accelerator)
                if outcome.ledger.steps == 0:
                    break  # by default it does not train
                after = probe(outcome.model, session, accelerator)
                score = after.forget_mrr / before.forget_mrr, after.retain_mrr / before.retain_mrr
                if outcome.status == "valid":
                    found.setdefault(method, {}).setdefault(rate, []).append(score)
                print(f"mini@{world} {method} lr={rate:g}: {outcome.status} {score}", file=sys.stderr, flush=True)
    print("method\tlr\tleak left\tretain left\tchosen")
    for method, rates in found.items():
        means = {rate: tuple(map(statistics.mean, zip(*scores, strict=True))) for rate, scores in rates.items()}
        chosen = choose(means)
        for rate, (leak, keep) in means.items():
            print(f"{method}\t{rate:g}\t{leak:.3f}\t{keep:.3f}\t{'*' if rate == chosen else ''}")


if __name__ == "__main__":
    main()
