"""What the runs of one process share while methods run: the forget set, the retain set, and what they begin with.

Nothing else of the benchmark is opened here: holdouts and Clean are not in the process at all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.splits import read_training
from salmu_core.benchmark.tokens import tell_cut
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.contract.features import Pairs
from salmu_core.contract.layout import FORGET, RETAIN_SYNTH
from salmu_core.contract.progress import Progress
from salmu_core.errors import CheckpointError
from salmu_core.run.inputs import Inputs
from salmu_core.run.pool import Pool, Pools


@dataclass(frozen=True)
class TrainingRows:
    """What a method may see of a benchmark, whatever it begins with: decoded and tokenised once.

    Attributes:
        asked: What the deletion request says of each forget row.
        stream: A user's own retain pairs.
        streamed: Their rows.
        num_train: Pairs Compromised was trained on.
    """

    forget: Inputs
    retain: Inputs
    asked: Pairs
    stream: Stream | None
    streamed: Inputs | None
    num_train: int

    @classmethod
    def open(
        cls, benchmark: Benchmark, clip: Clip, stream: Stream | None = None, progress: Progress | None = None
    ) -> TrainingRows:
        """Read them.

        Args:
            clip: One of its models, for preprocessing and tokenizer.
            stream: A user's own retain pairs, mixed into the benchmark's.

        Raises:
            BenchmarkError: The benchmark's files can't be read.
        """
        data = read_training(benchmark.data, benchmark.hashes)
        tell_cut(clip, FORGET, data.forget.captions, [*data.asked.values])
        tell_cut(clip, RETAIN_SYNTH, data.retain.captions)
        return cls(
            forget=Inputs(data.forget, clip, progress=progress),
            retain=Inputs(data.retain, clip, progress=progress),
            asked=data.asked,
            stream=stream,
            streamed=Inputs(stream.rows, clip, streamed=True) if stream else None,
            num_train=benchmark.sources.num_train or len(data.forget) + len(data.retain),
        )


@dataclass
class TrainingSession:
    """Data and start model, loaded once.

    Attributes:
        clip: The model that runs begin with; methods get copies of it.
        pools: The forget and the retain set.
        num_train: Pairs Compromised was trained on.
        rows: What sessions that begin with other models share.
    """

    clip: Clip
    pools: Pools
    num_train: int
    rows: TrainingRows

    @classmethod
    def open(
        cls,
        benchmark: Benchmark,
        accelerator: Accelerator,
        stream: Stream | None = None,
        progress: Progress | None = None,
    ) -> TrainingSession:
        """Load what methods may see, to begin with Compromised and forget the whole forget set.

        Args:
            stream: A user's own retain pairs, mixed into the benchmark's.

        Raises:
            BenchmarkError: The benchmark's files can't be read.
            CheckpointError: Compromised can't be loaded.
        """
        clip = load_clip(benchmark.model("compromised"))
        return cls.beginning(clip, TrainingRows.open(benchmark, clip, stream, progress), accelerator.device)

    @classmethod
    def beginning(
        cls, clip: Clip, rows: TrainingRows, device: torch.device, part: np.ndarray | None = None
    ) -> TrainingSession:
        """For runs that begin with some model, and are maybe asked to forget a part only.

        Args:
            clip: The model, of Compromised's preprocessing.
            part: Numbers of the forget rows that are to be forgotten; by default all.

        Raises:
            CheckpointError: A weight of the model is NaN or infinite.
        """
        for name, value in clip.model.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise CheckpointError(f"{clip.name}: {name} has NaN or infinite values, and nothing can begin with it.")
        clip.model.to(device)
        pools = Pools(
            forget=Pool("forget", rows.forget, clip, device, rows.asked, part),
            retain=Pool("retain", rows.retain, clip, device, stream=rows.stream, streamed=rows.streamed),
        )
        return cls(clip, pools, rows.num_train, rows)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode that takes no gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)
