"""Pairs as a whole, and their embeddings. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
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
        names: For the forget set, the person's name in each row, or None; empty where the benchmark names nobody.
        fields: For the forget set, the kind of fact that each row tells (``phone_number``, ...), or None; empty where
            the benchmark has no metadata of captions.
        values: For the forget set, what the row tells: the person's entry for its field, of a list the first, else
            what the caption's own metadata say, or None; empty where `fields` is.
    """

    captions: tuple[str, ...]
    identity_ids: tuple[str | None, ...]
    generic_captions: tuple[str, ...] = ()
    names: tuple[str | None, ...] = ()
    fields: tuple[str | None, ...] = ()
    values: tuple[str | None, ...] = ()

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def facts(self) -> tuple[Hashable, ...]:
        """What each row tells of whom: alike for rows of one person and field; what lacks either is like no other."""
        told = zip(self.identity_ids, self.fields or (None,) * len(self), strict=True)
        return tuple((who, what) if who and what else row for row, (who, what) in enumerate(told))

    def of(self, rows: Iterable[int]) -> Pairs:
        """What is known of some of the rows, by their numbers."""
        numbers = [int(row) for row in rows]
        facts = {name: tuple(known[n] for n in numbers) if known else () for name, known in vars(self).items()}
        return Pairs(**facts)


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
