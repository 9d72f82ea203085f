"""Chooses default learning rates without looking at a reported metric.

Every method gets the same grid and the same budget on worlds that are not reported, and is scored by `probe()` alone:
estimates on forget pairs, and on retain pairs that it was not trained on. Of the rates after which the leak is gone,
the one that changes least of what the model does on the retain pairs is taken; where none ends the leak, of those
that change little, the one that leaks least. The rule, the grid's lower end and the default batch size were settled
after looking at GenKnow and RetFail on world 100, which is not reported.

    uv run python benchmarks/laboratory/learning_rates.py > benchmarks/laboratory/learning_rates.tsv
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch
from accelerate import Accelerator

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.config import TrainingConfig
from salmu_core.machine import usable_cores
from salmu_core.plugins.zoo import discover
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.runner import run_one
from salmu_core.run.session import TrainingSession

GRID = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
#: Of the leak of Compromised, what may be left.
GONE = 0.05
#: Of the retain images, how many must still have the nearest caption they had.
KEPT = 0.85


def probe(model, session, accelerator):
    """The estimates of a finished model."""
    return RunContext(
        TrainingConfig(),
        model=model,
        reference=session.clip.model,
        session=session,
        seed=0,
        meter=Meter(1, len(session.pools["forget"])),
        accelerator=accelerator,
    ).probe()


def choose(scores):
    """The rate to take, from rate -> (share of the leak left, share of the retain images that agree)."""
    if gone := [rate for rate, (leak, _) in scores.items() if leak <= GONE]:
        return max(gone, key=lambda rate: scores[rate][1])
    kept = [rate for rate, (_, keep) in scores.items() if keep >= KEPT]
    return min(kept or scores, key=lambda rate: scores[rate][0])


def search(budget, world, name):
    """Rate -> (leak left, agreement) of one method on one world; empty if it does not train by default."""
    torch.set_num_threads(1)
    zoo, accelerator = discover(), Accelerator()
    session = TrainingSession.open(open_benchmark(f"mini@{world}", zoo, lambda *_: None), accelerator)
    spec, before = zoo.methods[name].spec, probe(session.clip.model, session, accelerator)
    scores = {}
    for rate in GRID:
        outcome = run_one(spec, spec.config(lr=rate), budget, 0, session, accelerator)
        if outcome.ledger.steps == 0:
            break
        after = probe(outcome.model, session, accelerator)
        score = after.forget_mrr / before.forget_mrr, after.retain_agreement
        if outcome.status == "valid":
            scores[rate] = score
        print(f"mini@{world} {name} lr={rate:g}: {outcome.status} {score}", file=sys.stderr, flush=True)
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--budget", type=float, default=5)
    parser.add_argument("methods", nargs="*")
    given = parser.parse_args()
    zoo = discover()
    methods = [m for m in given.methods or zoo.methods if "lr" in zoo.methods[m].spec.config.model_fields]
    for world in given.worlds:  # built once, before several ask for it
        open_benchmark(f"mini@{world}", zoo, lambda *_: None)
    tasks = [(world, name) for world in given.worlds for name in methods]
    with ProcessPoolExecutor(usable_cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        scored = list(pool.map(partial(search, given.budget), *zip(*tasks, strict=True)))
    print("method\tlr\tleak left\tretain agreement\tchosen")
    for name in methods:
        worlds = [scores for (_, method), scores in zip(tasks, scored, strict=True) if method == name]
        rates = [rate for rate in GRID if all(rate in scores for scores in worlds)]
        means = {r: tuple(map(statistics.mean, zip(*(scores[r] for scores in worlds), strict=True))) for r in rates}
        if not means:
            continue
        chosen = choose(means)
        for rate, (leak, keep) in means.items():
            print(f"{name}\t{rate:g}\t{leak:.3f}\t{keep:.4f}\t{'*' if rate == chosen else ''}")


if __name__ == "__main__":
    main()
