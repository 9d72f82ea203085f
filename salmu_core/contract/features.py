"""Pairs as a whole, and their embeddings. Importing this costs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

#: What pairs are drawn from: the two sets a method may see; for an attack, leaked forget pairs instead of the first.
PoolName = Literal["forget", "retain", "leaked"]


@dataclass(frozen=True)
class Pairs:
    """What is known of the forget or the retain set as a whole.

    Attributes:
        captions: Caption of each row.
        identity_ids: Person shown in each row, or None.
        generic_captions: For the forget set, a caption without private data for each row's image.
    """

    captions: tuple[str, ...]
    identity_ids: tuple[str | None, ...]
    generic_captions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class Features:
    """L2-normalised embeddings of a batch of pairs: ``image`` and ``text``, each ``[b, d]``."""

    image: Tensor
    text: Tensor

    @property
    def similarity(self) -> Tensor:
        """S ``[b, b]``: cosine of every image (rows) with every caption (columns)."""
        return self.image @ self.text.T

    @property
    def pair_similarity(self) -> Tensor:
        """Cosine of each image with its own caption ``[b]``."""
        return (self.image * self.text).sum(dim=-1)
