"""The training session of a process: one at a time, for what runs begin with and what they are asked to forget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.parts import part_of
from salmu_core.benchmark.retain import Stream
from salmu_core.clip.load import load_clip
from salmu_core.contract.layout import WEIGHTS
from salmu_core.contract.progress import Progress
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import StoreError
from salmu_core.run.session import TrainingRows, TrainingSession
from salmu_core.store.schema import STATE
from salmu_core.store.starts import RequestRef
from salmu_core.study.starts import Start


class Sessions:
    """Hands out sessions; the data are opened once, models come and go."""

    def __init__(self, benchmark: Benchmark, device: torch.device, stream: Stream | None) -> None:
        self._benchmark = benchmark
        self._device = device
        self._stream = stream
        self._rows: TrainingRows | None = None
        self._open: tuple[tuple[str, str], TrainingSession, RequestRef] | None = None

    def of(self, start: Start, request: RequestRef, progress: Progress) -> tuple[TrainingSession, RequestRef]:
        """The session of a start and a part of the forget set, and what is recorded of that part.

        Raises:
            BenchmarkError: The benchmark's files can't be read.
            CheckpointError: The model can't be loaded.
            StoreError: It was replaced since its run was found.
        """
        what = start.ref.checkpoint_hash, request.digest
        if self._open is None or self._open[0] != what:
            self._open = None  # before the next model comes
            clip = load_clip(start.model)
            if start.folder is not None:
                _unreplaced(start.folder / WEIGHTS, start.ref.checkpoint_hash)
            self._rows = self._rows or TrainingRows.open(self._benchmark, clip, self._stream, progress)
            facts, part = part_of(self._rows.forget.rows, request.number, request.count)
            session = TrainingSession.beginning(clip, self._rows, self._device, part)
            for pool in session.pools.values():
                pool.tokens(np.arange(1))  # of all rows, once for all runs
            self._open = what, session, facts
        return self._open[1:]

    def heal(self) -> None:
        """Make again what a run's process has found to be damaged, and must not mend itself.

        Raises:
            BenchmarkError: It can't be made.
        """
        for inputs in (self._rows.forget, self._rows.retain) if self._rows else ():
            inputs.heal()

    def state(self, start: Start, method: str) -> dict[str, Tensor]:
        """What a method left beside the checkpoint that it made and now begins with.

        Raises:
            StoreError: It was replaced since its run was found.
        """
        record = start.record
        kept = record.sha256_of(STATE) if record is not None and record.method == method else None
        if start.folder is None or kept is None:
            return {}
        state = load_file(start.folder / STATE)
        _unreplaced(start.folder / STATE, kept)
        return state


def _unreplaced(path: Path, content: str) -> None:
    """Check that what was just read is what a record says."""
    if hash_file(path) != content:
        raise StoreError(f"{path} was replaced while a run was about to begin with it: run again")
