"""One run of a method by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from salmu_core.benchmark import open_benchmark
from salmu_core.plugins import Zoo, discover
from salmu_core.runner import Outcome, run_one
from salmu_core.session import TrainingSession
from salmu_core.specs import MethodSpec


def run_method(
    spec: MethodSpec,
    benchmark: Path,
    *,
    budget: float = 1,
    seed: int = 0,
    zoo: Zoo | None = None,
    **config: Any,
) -> tuple[Outcome, TrainingSession]:
    """Unlearn with one method on a benchmark folder, as `salmu run` would, and write nothing.

    Args:
        spec: The method.
        benchmark: A benchmark folder, e.g. from `write_tiny_benchmark`.
        budget: The budget.
        seed: The run's seed.
        zoo: What is installed; by default what is found.
        config: Fields of the method's configuration.

    Returns:
        What came of it, and the session it ran in (data, the original).
    """
    accelerator = Accelerator(cpu=True)
    opened = open_benchmark(str(benchmark.resolve()), zoo or discover(()), lambda stage, fraction: None)
    session = TrainingSession.open(opened, accelerator)
    return run_one(spec, spec.config(**config), budget, seed, session, accelerator), session
