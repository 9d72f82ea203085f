"""Scores checkpoints of one benchmark, whose data are read once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from salmu_core.benchmark.folder import Benchmark
from salmu_core.benchmark.splits import EvaluationData, read_evaluation
from salmu_core.benchmark.tokens import tell_cut
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import Clip
from salmu_core.contract.layout import WEIGHTS
from salmu_core.contract.progress import OnStep, Progress
from salmu_core.contract.specs import MetricSpec
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import CheckpointError, MachineError, StoreError
from salmu_core.plugins.zoo import Declared
from salmu_core.score.embeddings import Catalogue, Embedder, Images
from salmu_core.score.evaluate import Scoring, compute_one
from salmu_core.score.tables import Tables, write_metrics
from salmu_core.store.folders import read_metrics
from salmu_core.store.records import MetricEntry, MetricsRecord

#: So often metrics are written, where another process writes its own at the same moment though the folder is locked.
_TRIES = 3


class Scorer:
    """Scores checkpoints of one benchmark; its data are read when the first one comes."""

    def __init__(
        self,
        benchmark: Benchmark,
        metrics: Sequence[Declared[MetricSpec]],
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        self._benchmark = benchmark
        self._metrics = metrics
        self._device = device
        self._progress = progress
        self._data: EvaluationData | None = None
        self._images: Images | None = None
        self._catalogue: Catalogue | None = None

    def score(self, source: str, checkpoint_hash: str, folder: Path, on_step: OnStep) -> Scoring:
        """Compute all metrics of a model and write them into a folder, unless more of them lie there already."""
        scoring = self.compute(source, checkpoint_hash, on_step)
        self._benchmark.check_unchanged()
        if source == str(folder) and hash_file(folder / WEIGHTS) != checkpoint_hash:
            raise CheckpointError(f"{folder / WEIGHTS} was replaced while it was scored: run again")
        names = scoring.record.metrics.keys()
        if not (scoring.failures and self._there(folder, checkpoint_hash) >= names):
            for _ in range(_TRIES):
                write_metrics(folder, scoring.record, scoring.tables)
                if self._there(folder, checkpoint_hash) >= names:
                    break
        return scoring

    def compute(self, source: str, checkpoint_hash: str, on_step: OnStep) -> Scoring:
        """Compute all metrics of a model; one that fails is an entry with its error, one whose machine fails none."""
        clip = load_clip(source)
        clip.model.to(self._device)
        images, catalogue = self._open(clip)
        done = 0

        def on_batch(items: int) -> None:
            nonlocal done
            done += items
            on_step(done, 0, {})

        start = time.perf_counter()
        embedder = Embedder(clip, self.data, images, self._device, on_batch, catalogue)
        entries: dict[str, MetricEntry] = {}
        tables: list[Tables] = []
        failures: dict[str, str] = {}
        for declared in self._metrics:
            try:
                entries[declared.card.name], beside = compute_one(declared, embedder)
                tables.append(beside)
            except MachineError as error:
                failures[declared.card.name] = str(error)
        record = MetricsRecord(
            benchmark=self._benchmark.name,
            data_hash=self._benchmark.data_hash,
            zeroshot_hash=self._benchmark.zeroshot_hash,
            checkpoint_hash=checkpoint_hash,
            metrics=entries,
            images_encoded=embedder.images_encoded,
            captions_encoded=embedder.captions_encoded,
            seconds=round(time.perf_counter() - start, 3),
        )
        return Scoring(record, Tables.joined(tables), failures)

    def _there(self, folder: Path, checkpoint_hash: str) -> set[str]:
        """Metrics of the checkpoint that lie in a folder."""
        try:
            record = read_metrics(folder, checkpoint_hash, self._benchmark.scored_on)
        except StoreError:
            return set()
        return set(record.metrics) if record else set()

    @property
    def data(self) -> EvaluationData:
        """The benchmark's rows."""
        if self._data is None:
            of = self._benchmark
            self._data = read_evaluation(of.data, of.zeroshot, of.hashes, of.sources.metrics)
        return self._data

    def embedder(self, clip: Clip, data: EvaluationData | None = None, catalogue: Catalogue | None = None) -> Embedder:
        """Embeddings of a model.

        Args:
            clip: The model, on the scorer's device.
            data: The benchmark with other captions; by default as it is.
            catalogue: Those captions, tokenised.
        """
        images, own = self._open(clip)
        return Embedder(clip, data or self.data, images, self._device, catalogue=catalogue or own)

    def _open(self, clip: Clip) -> tuple[Images, Catalogue]:
        """Pixels and captions as a model takes them, shared with others that take them alike."""
        if self._images is None or not self._images.fits(clip):
            self._images = Images(self.data, clip, self._progress)
        if self._catalogue is None or not self._catalogue.fits(clip):
            self._catalogue = Catalogue(self.data, clip)
            for split, rows in self.data.base.items():
                tell_cut(clip, split, rows.captions, self.data.values(split))
        return self._images, self._catalogue
