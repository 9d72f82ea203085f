"""Runs of a method, and what a metric is given, by hand."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.features import PoolName
from salmu_core.contract.metric_context import MetricContext
from salmu_core.contract.specs import MethodSpec, MetricSpec
from salmu_core.contract.wrapping import WrapperConfig
from salmu_core.plugins.zoo import discover
from salmu_core.run.outcome import Outcome
from salmu_core.run.runner import run_one
from salmu_core.run.session import TrainingSession
from salmu_core.score.context import ScoreContext
from salmu_core.score.embeddings import Embedder, Images
from salmu_core.testing.settings import settings_of

#: Not a whole number, so that a budget that is left lying shows.
BUDGET = 1.9
BATCH = 4


def run_method(
    spec: MethodSpec, benchmark: Path, *, budget: float = 1, seed: int = 0, micro_batch: int = 0, **config: Any
) -> tuple[Outcome, TrainingSession]:
    """Unlearn with one method on a benchmark folder, as `salmu run` would, and write nothing.

    Args:
        spec: The method.
        benchmark: A benchmark folder, e.g. from `write_tiny_benchmark`.
        budget: The budget.
        seed: The run's seed.
        micro_batch: Pairs that are embedded at a time; 0 for whole batches.
        config: Fields of the method's configuration.

    Returns:
        What came of it, and the session it ran in (data, the original).
    """
    accelerator = Accelerator(cpu=True)
    opened = open_benchmark(str(benchmark.resolve()), discover(()), lambda stage, fraction: None)
    session = TrainingSession.open(opened, accelerator)
    settings = settings_of(spec, **config)
    return run_one(spec, settings, budget, seed, session, accelerator, micro_batch=micro_batch), session


def assert_uses_budget(spec: MethodSpec, benchmark: Path, *, draws: Collection[PoolName], **config: Any) -> Outcome:
    """Run a method once and check that it draws what the budget allows: from the sets named, and from no other.

    Args:
        spec: The method.
        benchmark: A small benchmark folder.
        draws: Sets the method draws from; as many whole batches of each as there is room for.
        config: Fields of the method's configuration; ``batch_size`` is 4 unless given.

    Returns:
        What came of the run.
    """
    if issubclass(spec.config, TrainingConfig | WrapperConfig):
        config = {"batch_size": BATCH, **config}
    outcome, session = run_method(spec, benchmark, budget=BUDGET, **config)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    cap = int(BUDGET * len(session.pools["forget"]))
    size = config.get("batch_size", BATCH)
    drawn = {"forget": outcome.ledger.forget_samples, "retain": outcome.ledger.retain_samples}
    expected = {name: cap // size * size if name in draws else 0 for name in drawn}
    assert drawn == expected, f"{drawn} pairs were drawn; {expected} were expected"
    assert outcome.ledger.steps == (cap // size if draws else 0)
    return outcome


def metric_context(spec: MetricSpec, benchmark: Path, model: str = "compromised") -> MetricContext:
    """What a metric would be given of one of a benchmark folder's two models.

    Args:
        spec: The metric.
        benchmark: A small benchmark folder.
        model: ``compromised`` or ``clean``.
    """
    data = read_evaluation(benchmark, benchmark / "zeroshot")
    clip = load_clip(benchmark / model)
    return ScoreContext(Embedder(clip, data, Images(data, clip)), spec.reads, spec.name)
