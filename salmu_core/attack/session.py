"""What the attacks of one process share: data, Compromised, and the metrics that tell what leaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from accelerate import Accelerator

from salmu_core.attack.metrics import attacked_metrics
from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.splits import EvaluationData
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.contract.layout import FORGET
from salmu_core.contract.progress import Progress
from salmu_core.contract.specs import MetricSpec
from salmu_core.plugins.zoo import Declared
from salmu_core.run.session import TrainingSession
from salmu_core.score.embeddings import Catalogue
from salmu_core.score.scorer import Scorer

#: Rewritten sets of captions that are remembered, for the next checkpoint: more than an attack asks as a rule.
CATALOGUES = 16


@dataclass
class AttackSession:
    """Everything that attacks on the checkpoints of one benchmark have in common.

    It holds holdouts, as whatever scores does; what an attack is handed does not.

    Attributes:
        training: Forget and retain rows, and Compromised.
        scorer: All rows, for metrics.
        metrics: What is computed of forget rows: those of role ``leak``, and the cosine of pairs.
        accelerator: Device and precision.
    """

    training: TrainingSession
    scorer: Scorer
    metrics: Sequence[Declared[MetricSpec]]
    accelerator: Accelerator
    _catalogues: dict[tuple[str, ...], Catalogue] = field(default_factory=dict, init=False)

    @classmethod
    def open(
        cls,
        benchmark: Benchmark,
        metrics: Iterable[Declared[MetricSpec]],
        accelerator: Accelerator,
        progress: Progress | None = None,
    ) -> AttackSession:
        """Read a benchmark.

        Args:
            benchmark: The benchmark.
            metrics: Those that are installed.
            accelerator: Device and precision.
        """
        chosen = attacked_metrics(metrics)
        training = TrainingSession.open(benchmark, accelerator, progress=progress)
        return cls(training, Scorer(benchmark, chosen, accelerator.device, progress), chosen, accelerator)

    def reopen(self, benchmark: Benchmark) -> None:
        """Load Compromised anew, where somebody may have changed it."""
        self.training = TrainingSession.open(benchmark, self.accelerator)

    def catalogue(self, data: EvaluationData, clip: Clip) -> Catalogue:
        """The captions of a benchmark whose forget rows have others, tokenised once for all checkpoints alike.

        Args:
            data: The benchmark.
            clip: Whose tokenizer is used.
        """
        captions = data.base[FORGET].captions
        held = self._catalogues.get(captions)
        if held is None or not held.fits(clip):
            while len(self._catalogues) >= CATALOGUES:
                del self._catalogues[next(iter(self._catalogues))]
            held = self._catalogues[captions] = Catalogue(data, clip)
        return held

    def load(self, source: str) -> Clip:
        """A checkpoint, on the session's device.

        Raises:
            CheckpointError: It can't be loaded.
        """
        clip = load_clip(source)
        clip.model.to(self.accelerator.device)
        return clip
