"""The training session of a process: one at a time, for what runs begin with and what they are asked to forget."""

from __future__ import annotations

import gc

from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor

from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.parts import part_of
from salmu_core.benchmark.retain import Stream
from salmu_core.clip.load import load_clip
from salmu_core.contract.progress import Progress
from salmu_core.run.session import TrainingRows, TrainingSession
from salmu_core.store.folders import STATE
from salmu_core.store.starts import RequestRef
from salmu_core.study.starts import Start


class Sessions:
    """Hands out sessions; the data are opened once, models come and go.

    Args:
        benchmark: The benchmark.
        accelerator: Device and precision.
        stream: The user's own retain pairs.
        progress: Told when something is opened.
    """

    def __init__(
        self, benchmark: Benchmark, accelerator: Accelerator, stream: Stream | None, progress: Progress
    ) -> None:
        self._benchmark = benchmark
        self._device = accelerator.device
        self._more = stream, progress
        self._rows: TrainingRows | None = None
        self._open: dict[tuple[str, str], TrainingSession] = {}

    def of(self, start: Start, request: RequestRef) -> tuple[TrainingSession, RequestRef]:
        """The session of a start and a part of the forget set, and what is recorded of that part.

        Raises:
            BenchmarkError: The benchmark's files can't be read.
            CheckpointError: The model can't be loaded.
        """
        what = start.ref.checkpoint_hash, request.digest
        if what not in self._open:
            self._open.clear()  # before the next model comes
            clip = load_clip(start.model)
            self._rows = self._rows or TrainingRows.open(self._benchmark, clip, *self._more)
            part = part_of(self._rows.forget.rows, request.number, request.count)[1] if request.count > 1 else None
            self._open[what] = TrainingSession.beginning(clip, self._rows, self._device, part)
        assert self._rows is not None
        return self._open[what], part_of(self._rows.forget.rows, request.number, request.count)[0]

    def state(self, start: Start, method: str) -> dict[str, Tensor]:
        """What a method left beside the checkpoint that it made and now begins with."""
        if start.folder is None or start.record is None or start.record.method != method:
            return {}
        return load_file(start.folder / STATE) if start.record.state_hash else {}

    def close(self) -> None:
        """Let everything go; what is asked for next is opened anew."""
        self._rows = None
        self._open.clear()
        gc.collect()
