"""All a metric may touch. Importing this costs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from salmu_core.contract.features import Features
    from salmu_core.contract.layout import Split
    from salmu_core.contract.zeroshot import ZeroShot


class MetricContext(ABC):
    """Everything a metric receives: embeddings and facts of the splits it declared in ``reads``.

    Asking for another split is a `MetricError`.
    """

    @abstractmethod
    def embeddings(self, split: Split) -> Features:
        """L2-normalised embeddings of all rows of a split, each ``[n, d]``, float32, on the CPU."""

    @abstractmethod
    def images(self, split: Split) -> Tensor:
        """L2-normalised image embeddings of a split ``[n, d]``, float32, on the CPU."""

    @abstractmethod
    def texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of any texts ``[n, d]``, float32, on the CPU; equal tokens, equal bits."""

    @abstractmethod
    def captions(self, split: Split) -> tuple[str, ...]:
        """``text`` of each row of a split."""

    @abstractmethod
    def identity_ids(self, split: Split) -> tuple[str | None, ...]:
        """Person shown in each row of a split, or None."""

    @abstractmethod
    def facts(self, split: Split) -> tuple[Mapping[str, Any], ...]:
        """``sensitive_set_captions_metadata.json`` of each row of a split (``data_field``, ``caption``, ...)."""

    @abstractmethod
    def generic_captions(self, split: Split) -> tuple[str, ...]:
        """What a caption of each row's image says that tells nothing private.

        Where the benchmark has none for a row, the metric is not measured.
        """

    @abstractmethod
    def person(self, identity_id: str) -> Mapping[str, Any]:
        """``identities_metadata.json`` of one person (``name``, ``city``, ...)."""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What the benchmark sets for this metric; empty where it sets nothing. What is no setting is an error."""

    @property
    @abstractmethod
    def zeroshot(self) -> ZeroShot:
        """Class names, templates and labels of the zero-shot set."""
