"""What stands behind a MetricContext: one checkpoint's embeddings and the benchmark's facts, as far as declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import Tensor

from salmu_core.contract.features import Features
from salmu_core.contract.layout import CAPTIONS_METADATA, GENERIC_CAPTIONS, IDENTITIES, Split
from salmu_core.contract.metric_context import MetricContext
from salmu_core.contract.zeroshot import ZeroShot
from salmu_core.errors import BenchmarkError, MetricError, NotMeasuredError
from salmu_core.score.embeddings import Embeddings


class ScoreContext(MetricContext):
    """What one metric may see of one checkpoint.

    Args:
        embedder: The checkpoint's embeddings, and the benchmark's data.
        reads: Splits the metric declared.
        metric: Its name, for messages.
    """

    def __init__(self, embedder: Embeddings, reads: Sequence[Split], metric: str) -> None:
        self._embedder = embedder
        self._reads = frozenset(reads)
        self._metric = metric
        self._unread = dict(embedder.data.metrics.get(metric, {}))

    def embeddings(self, split: Split) -> Features:
        return Features(self.images(split), self.texts(self.captions(split)))

    def images(self, split: Split) -> Tensor:
        return self._embedder.images(self._allowed(split))

    def texts(self, captions: Sequence[str]) -> Tensor:
        return self._embedder.texts(captions)

    def captions(self, split: Split) -> tuple[str, ...]:
        rows, index = self._embedder.data.locate(self._allowed(split))
        return tuple(rows.captions[i] for i in index)

    def identity_ids(self, split: Split) -> tuple[str | None, ...]:
        return tuple(self._embedder.data.names(self._allowed(split))[1])

    def facts(self, split: Split) -> tuple[Mapping[str, Any], ...]:
        names, _ = self._embedder.data.names(self._allowed(split))
        return tuple(_entry(self._embedder.data.captions_metadata, name, CAPTIONS_METADATA) for name in names)

    def generic_captions(self, split: Split) -> tuple[str, ...]:
        names, _ = self._embedder.data.names(self._allowed(split))
        generic = self._embedder.data.generic_captions
        if lacking := sum(not isinstance(generic.get(name), str) for name in names):
            raise NotMeasuredError(
                f"{GENERIC_CAPTIONS} has no caption for {lacking:,} of {len(names):,} rows of {split}"
            )
        return tuple(generic[name] for name in names)

    def person(self, identity_id: str) -> Mapping[str, Any]:
        return _entry(self._embedder.data.identities, identity_id, IDENTITIES)

    @property
    def settings(self) -> Mapping[str, Any]:
        self._unread = {}
        return MappingProxyType(dict(self._embedder.data.metrics.get(self._metric, {})))

    def check_settings(self) -> None:
        """See that what the benchmark sets for the metric was looked at.

        Raises:
            MetricError: Nobody did: the metric has no settings.
        """
        if self._unread:
            raise MetricError(f"the benchmark sets {self._unread} for metric {self._metric}, which takes no settings")

    @property
    def zeroshot(self) -> ZeroShot:
        self._allowed("zeroshot")
        return self._embedder.zeroshot()

    def _allowed(self, split: str) -> str:
        if split not in self._reads:
            raise MetricError(
                f"metric {self._metric} reads split {split!r} without declaring it; its `reads` are "
                f"{', '.join(sorted(self._reads))}"
            )
        return split


def _entry(facts: Mapping[str, Mapping[str, Any]], key: str, file: str) -> Mapping[str, Any]:
    if key not in facts:
        raise BenchmarkError(f"{file} has no entry {key!r}")
    return MappingProxyType(facts[key])  # shared by all metrics
