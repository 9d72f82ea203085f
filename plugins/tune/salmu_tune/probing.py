"""Probes of finished models: what is opened of a benchmark is what methods see, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from salmu_core.benchmark.folder import Benchmark
from salmu_core.clip.load import load_clip
from salmu_core.contract.config import MethodConfig
from salmu_core.contract.probe import Probe
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.session import TrainingSession
from salmu_core.store.records import RunRecord
from salmu_tune.objective import WORST, score


class Prober:
    """Probes models on one benchmark, as a method would: on the same rows, against the same original.

    Args:
        benchmark: Of which the forget set, the retain set and Compromised are opened.
        accelerator: Device and precision.
    """

    def __init__(self, benchmark: Benchmark, accelerator: Accelerator) -> None:
        self._session, self._accelerator = TrainingSession.open(benchmark, accelerator), accelerator
        self._rows = len(self._session.pools["forget"].probed)
        self.original = self._probe(self._session.clip.model)

    def facts(self, folder: Path, record: RunRecord) -> Mapping[str, Any]:
        """What became of a run: its status and, of a valid one, its model's probe and score; else the worst.

        Args:
            folder: Where it lies.
        """
        seconds = round(record.ledger.seconds, 2)
        facts = {"status": record.status, "reason": record.reason, "seconds": seconds, "config": record.config_hash}
        if record.status != "valid":
            return {**facts, "objective": WORST}
        probe = self._probe(load_clip(folder).model.to(self._accelerator.device))
        return {**facts, **asdict(probe), **score(probe, self.original, self._rows).as_json()}

    def _probe(self, model: nn.Module) -> Probe:
        return RunContext(
            MethodConfig(),
            model=model,
            reference=self._session.clip.model,
            session=self._session,
            seed=0,
            meter=Meter(1, len(self._session.pools["forget"])),  # its own: no run is charged for it
            accelerator=self._accelerator,
        ).probe()
