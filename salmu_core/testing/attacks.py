"""Attacks on the models of a small benchmark, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from salmu_core.attack import run
from salmu_core.attack.outcome import AttackOutcome
from salmu_core.attack.session import AttackSession
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.attack import AttackSpec
from salmu_core.contract.context import MetricContext
from salmu_core.contract.results import MetricResult, PerRow
from salmu_core.contract.specs import MetricSpec
from salmu_core.plugins import Declared, discover


def run_attack(
    spec: AttackSpec, benchmark: Path, model: str = "compromised", *, seed: int = 0, **config: Any
) -> AttackOutcome:
    """Attack one of a benchmark folder's two models, as `salmu run --attack` would, and write nothing.

    Args:
        spec: The attack.
        benchmark: A benchmark folder, e.g. from `write_tiny_benchmark`.
        model: ``compromised``, ``clean``, or any model that open_clip's ``local-dir:`` loads.
        seed: Decides which rows leak, and every random number.
        config: Fields of the attack's configuration.

    Returns:
        What came of it; ``values["Rank"]`` is `RANK` over the forget rows that the attacker did not hold.
    """
    session = attack_session(benchmark, Accelerator(cpu=True))
    source = str(benchmark.resolve() / model) if model in ("compromised", "clean") else model
    return run.run_attack(spec, spec.config(**config), seed, session.load(source), session)


def attack_context(
    spec: AttackSpec, benchmark: Path, model: str = "compromised", *, seed: int = 0, **config: Any
) -> Any:
    """What an attack would be given: a `ModelAttackContext`, a `QueryContext` or a `ReadoutContext`.

    Args:
        spec: The attack.
        benchmark: A small benchmark folder.
        model: As for `run_attack`.
        seed: As for `run_attack`.
        config: Fields of the attack's configuration.
    """
    given: list[Any] = []
    run_attack(spec.model_copy(update={spec.kind: given.append}), benchmark, model, seed=seed, **config)
    return given[0]


def attack_session(benchmark: Path, accelerator: Accelerator) -> AttackSession:
    """What attacks on the models of a benchmark folder share, with `RANK` as the only metric."""
    opened = open_benchmark(str(benchmark.resolve()), discover(()), lambda stage, fraction: None)
    return AttackSession.open(opened, [Declared(RANK, "salmu-core", "0", __name__)], accelerator)


def _rank(ctx: MetricContext) -> MetricResult:
    similarity = ctx.embeddings("forget").similarity.double()
    own = similarity.diagonal()[:, None]
    ranks = 0.5 + (similarity > own).sum(dim=1) + (similarity == own).sum(dim=1) / 2
    values = (1 / ranks).numpy()
    return MetricResult(float(values.mean()), PerRow("forget", {RANK.name: values}))


#: What tells how much an attack brings back, where no plugin with a metric is installed.
RANK = MetricSpec(
    name="Rank",
    summary="Mean reciprocal rank of a forget image's caption among all forget captions, ties in the middle.",
    pillar="efficacy",
    target="clean",
    primary=True,
    reads=("forget",),
    compute=_rank,
    paper="https://arxiv.org/abs/2603.26316",
)
