"""What tells how much an attack brings back from a small benchmark, where no plugin with a metric is installed."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from salmu_core.attack.session import AttackSession
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.contract.metric_context import MetricContext
from salmu_core.contract.results import MetricResult, PerRow, Ranks
from salmu_core.contract.specs import MetricSpec
from salmu_core.plugins.zoo import Declared, discover


def attack_session(benchmark: Path, accelerator: Accelerator) -> AttackSession:
    """What attacks on the models of a benchmark folder share, with `RANK` as the only metric."""
    opened = open_benchmark(str(benchmark.resolve()), discover(()), lambda stage, fraction: None)
    return AttackSession.open(opened, [Declared.of(RANK, "salmu-core", "0", __name__)], accelerator)


def _rank(ctx: MetricContext) -> MetricResult:
    similarity = ctx.embeddings("forget").similarity.double()
    own = similarity.diagonal()[:, None]
    ranks = 0.5 + (similarity > own).sum(dim=1) + (similarity == own).sum(dim=1) / 2
    return MetricResult(
        per_row=PerRow("forget", (1 / ranks).numpy()), ranks=Ranks("forget", ranks.numpy(), len(similarity))
    )


RANK = MetricSpec(
    name="Rank",
    summary="Mean reciprocal rank of a forget image's caption among all forget captions, ties in the middle.",
    pillar="efficacy",
    target="clean",
    role="leak",
    bounds=(0.0, 1.0),
    primary=True,
    reads=("forget",),
    compute=_rank,
    paper="https://arxiv.org/abs/2603.26316",
)
