"""What the runs of one process share while methods run: the forget set, the retain set, and Compromised.

Nothing else of the benchmark is opened here: holdouts and Clean are not in the process at all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from accelerate import Accelerator
from torch import nn

from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.splits import read_training
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.contract.features import PoolName
from salmu_core.contract.progress import Progress
from salmu_core.run.pool import Pool


@dataclass
class TrainingSession:
    """Data and start model, loaded once.

    Attributes:
        clip: Compromised; methods get copies of it.
        pools: The forget and the retain set.
        num_train: Pairs Compromised was trained on.
    """

    clip: Clip
    pools: dict[PoolName, Pool]
    num_train: int

    @classmethod
    def open(
        cls,
        benchmark: Benchmark,
        accelerator: Accelerator,
        stream: Stream | None = None,
        progress: Progress | None = None,
    ) -> TrainingSession:
        """Load what methods may see.

        Args:
            benchmark: The benchmark.
            accelerator: Device and precision.
            stream: A user's own retain pairs, mixed into the benchmark's.

        Raises:
            BenchmarkError: The benchmark's files can't be read.
            CheckpointError: Compromised can't be loaded.
        """
        data = read_training(benchmark.data, benchmark.hashes)
        clip = load_clip(benchmark.model("compromised"))
        clip.model.to(accelerator.device)
        pools: dict[PoolName, Pool] = {
            "forget": Pool("forget", data.forget, clip, accelerator.device, data.generic_captions, progress=progress),
            "retain": Pool("retain", data.retain, clip, accelerator.device, stream=stream, progress=progress),
        }
        known = len(data.forget) + len(data.retain)
        return cls(clip, pools, benchmark.sources.num_train or known)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode that takes no gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)
