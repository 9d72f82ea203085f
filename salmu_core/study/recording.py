"""The record of a run: what it is, what came of it, and where it was made."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator

from salmu_core.benchmark.folder import Benchmark
from salmu_core.disk import landlock
from salmu_core.machine import environment
from salmu_core.run.outcome import Outcome
from salmu_core.store.records import BenchmarkRef, Ledger, PluginRef, RetainRef, RunRecord, Status
from salmu_core.store.starts import StartRef
from salmu_core.study.plan import Planned


def make_record(
    planned: Planned,
    benchmark: Benchmark,
    retain: RetainRef,
    start: StartRef,
    status: Status,
    reason: str,
    **facts: Any,
) -> RunRecord:
    """The record of a run, without the hashes of its files.

    Args:
        facts: Other fields.
    """
    key, method = planned.key, planned.method
    made_on = BenchmarkRef(
        name=benchmark.name, data_hash=benchmark.data_hash, start_model_hash=benchmark.model_hash("compromised")
    )
    return RunRecord(
        status=status,
        reason=reason,
        benchmark=made_on,
        method=key.method,
        plugin=PluginRef(distribution=method.distribution, version=method.version, code_hash=planned.code),
        config=planned.config.model_dump(mode="json"),
        config_hash=key.config_hash,
        budget=key.budget,
        seed=key.seed,
        recommended=planned.origin.taken,
        retain=retain,
        start=start,
        command=planned.command,
        **{"request": planned.request, "ledger": Ledger(), "started": "", **facts},
    )


def surroundings(accelerator: Accelerator, threads: int, outcome: Outcome | None = None) -> dict[str, str]:
    """What computes a run, and what keeps its method from everything else."""
    facts = environment(accelerator.device, accelerator.mixed_precision) | {"threads": str(threads)}
    facts["isolation"] = f"Landlock {landlock.version()}" if landlock.version() else "process only"
    if outcome is not None and outcome.micro_batch:
        facts["micro-batch"] = str(outcome.micro_batch)
    if outcome is not None and outcome.compiled:
        facts["compiled"] = outcome.compiled
    return facts
