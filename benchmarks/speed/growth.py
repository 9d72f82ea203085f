"""How cost grows with the data: an unlearning run and scoring on 1, 4 and 16 times as many people.

Benchmarks are made here: a tiny model, noise for pictures, and every split in proportion, the forget set 512, 2,048 and
8,192 pairs. Each size is a process of its own, with an empty cache: processor seconds, and the most memory it had after
its imports, as Linux tells. What is fixed (libraries, the model) drops out of differences: with costs a, b and c the
exponent is log4((c - b) / (b - a)). Where a cost hardly grows, the multiple of 16 times the people is given instead.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from figures import Figure, in_turn, spread
from sides import Asked

PEOPLE = 256
TIMES = (1, 4, 16)
PASSES = 3.0
AIM = 1.05
#: Growth from once to 4 times below this share of the cost is noise: then no exponent is fitted to it.
VISIBLE = 0.02


def measure(asked: Asked) -> Iterator[Figure]:
    """Exponents of time and memory."""
    from salmu_core.testing import write_tiny_benchmark

    folders = {}
    for times in TIMES:
        people = (8 if asked.quick else PEOPLE) * times
        folders[times] = write_tiny_benchmark(asked.work / f"people-{people}", people=people)
    for work, what in (("unlearn", f"an unlearning run of {PASSES:g} passes"), ("score", "scoring a checkpoint")):
        memory: dict[str, list[float]] = {str(times): [] for times in TIMES}
        sides = {str(n): partial(_process, asked, work, folder, memory[str(n)]) for n, folder in folders.items()}
        costs = in_turn(sides, 1 if asked.quick else 3, warm=0)
        for name, measured in (("processor time", costs), ("peak memory", memory)):
            rounds = [*zip(*(measured[str(times)] for times in TIMES), strict=True)]
            if any(b - a < VISIBLE * a or c <= b for a, b, c in rounds):
                yield spread(f"{name} of {what}, 16 times the people", [c / a for a, _, c in rounds], to="once")
            else:
                yield spread(f"{name} of {what}", [exponent(*costs) for costs in rounds], unit="exponent", at_most=AIM)


def exponent(a: float, b: float, c: float) -> float:
    """Of the growth of costs at 1, 4 and 16 times a size, whatever is fixed in them."""
    return math.log((c - b) / (b - a), 4)


def _process(asked: Asked, work: str, folder: Path, memory: list[float]) -> float:
    """Processor seconds of a process with an empty cache; its peak memory goes into the list."""
    with tempfile.TemporaryDirectory() as cache:
        one = replace(asked.this, cache=Path(cache))
        command = [one.python, __file__, work, folder]
        said = subprocess.run(command, env=one.environment(), stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, peak = json.loads(said)
    memory.append(peak)
    return float(seconds)


def main() -> None:
    work, folder = sys.argv[1], sys.argv[2]
    import torch
    from accelerate import Accelerator

    from salmu_core.benchmark.folder import open_benchmark
    from salmu_core.plugins.zoo import discover
    from salmu_core.run.runner import run_one
    from salmu_core.run.session import TrainingSession
    from salmu_core.score.scorer import Scorer

    zoo, accelerator = discover(), Accelerator(cpu=True)
    Path("/proc/self/clear_refs").write_text("5")  # importing has had more memory than the work may need
    start = time.process_time()
    benchmark = open_benchmark(folder, zoo, lambda *_: None)
    if work == "unlearn":
        session, spec = TrainingSession.open(benchmark, accelerator), zoo.methods["delete"].spec
        assert run_one(spec, spec.config(), PASSES, 0, session, accelerator).status == "valid"
    else:
        scorer = Scorer(benchmark, list(zoo.metrics.values()), torch.device("cpu"))
        record = scorer.compute(benchmark.model("compromised"), "", lambda *_: None).record
        assert not record.errors, record.errors
    seconds = time.process_time() - start
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps([seconds, int(peak.split()[1]) / 1024]))


if __name__ == "__main__":
    main()
