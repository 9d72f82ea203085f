"""What handing runs to a Ray cluster costs over handing them to processes of this machine.

A study of many tiny runs on two workers, less one of two runs: what a cluster, workers and their imports take to start
is in both, and so in neither. The clock counts here, since waiting is what an engine could cost; both sides take turns.
Every run of both must end with the same weights.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from figures import Figure, in_turn, ratio
from sides import Asked

RUNS, ROUNDS = 100, 3


def measure(asked: Asked) -> Iterator[Figure]:
    """The overhead."""
    from salmu_core.testing import write_tiny_benchmark

    runs, rounds = (4, 1) if asked.quick else (RUNS, ROUNDS)
    work = asked.work / "engines"
    work.mkdir(exist_ok=True)
    write_tiny_benchmark(work / "tiny")
    with cluster() as address:
        sides = {"ray": ("--on", f"ray:{address}"), "processes": ()}
        costs = in_turn({name: partial(cost, work, name, runs, more) for name, more in sides.items()}, rounds, warm=0)
        if weights(work / "ray") != weights(work / "processes"):
            raise RuntimeError("the two do not make the same runs")
        yield ratio(f"{runs} tiny runs on two workers of Ray", "two processes", costs, ("ray", "processes"), more=True,
                    at_most=10)  # fmt: skip


def cost(work: Path, name: str, runs: int, more: tuple[str, ...]) -> float:
    """Seconds that a study takes beyond one of two runs."""
    return took(work, f"{name}-few", 2, more) * -1 + took(work, name, runs, more)


def took(work: Path, name: str, runs: int, more: tuple[str, ...]) -> float:
    """Seconds of a study into a new folder."""
    shutil.rmtree(work / name, ignore_errors=True)
    words = ["run", "finetuning", "--benchmark", "./tiny", "--budget", "1", "--seed", f"0-{runs - 1}"]
    words += ["--set", "finetuning.batch_size=4", "--processes", "2", "--output", name, *more]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "salmu_core", *words], cwd=work, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"salmu {' '.join(words)}: {done.stdout}{done.stderr}")
    return time.perf_counter() - start


def weights(results: Path) -> dict[str, bytes]:
    """Path -> content of every checkpoint."""
    found = results.rglob("*.safetensors")
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in found}


@contextmanager
def cluster() -> Iterator[str]:
    """A cluster of this machine with two processors; yields its address."""
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        yield made.address
    finally:
        made.shutdown()
