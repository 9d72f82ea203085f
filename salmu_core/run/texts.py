"""Texts that come without an image: of the frozen original, remembered in a run; of the model, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from salmu_core.clip.float32 import float32
from salmu_core.clip.model import Clip
from salmu_core.clip.texts import encode_text
from salmu_core.run.meter import Meter
from salmu_core.run.pool import Pools
from salmu_core.train.order import CHUNK

#: Texts whose token ids are remembered, at most.
REMEMBERED = 2**18


class TokenIds:
    """Token ids of texts; of those that come again, remembered in a run."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._ids: dict[str, Tensor] = {}

    def of(self, texts: Sequence[str]) -> Tensor:
        """Token ids, int64 ``[n, context_length]``, on the CPU."""
        if getattr(self._clip.tokenizer, "reduction_fn", None):  # which words a text loses may be drawn anew
            return self._clip.tokenize(texts)
        distinct = dict.fromkeys(texts)
        if len(self._ids) + len(distinct) > REMEMBERED:
            self._ids.clear()
        if new := [text for text in distinct if text not in self._ids]:
            self._ids.update(zip(new, self._clip.tokenize(new).int(), strict=True))
        return torch.stack([self._ids[text] for text in texts]).long()


class OwnCaptions:
    """Counts forget captions that are trained on as mere texts, or a budget would end with the images.

    Args:
        pools: The sets; an attacker, who has no budget, has no forget set.
        ids: Their tokenizer: what reads alike is the same caption, whichever its capitals and blanks.
        meter: Where they are counted.
    """

    def __init__(self, pools: Pools, ids: TokenIds, meter: Meter) -> None:
        self._captions = pools["forget"].captions if "forget" in pools else ()
        self._ids, self._meter = ids, meter

    @cached_property
    def _known(self) -> frozenset[bytes]:
        return frozenset(_rows(self._ids.of(self._captions)) if self._captions else ())

    def counted(self, ids: Tensor) -> Tensor:
        """Token ids of texts, on the CPU; where there will be gradients, counted.

        Raises:
            MethodError: More of them are forget captions than forget pairs were drawn.
        """
        if torch.is_grad_enabled():
            self._meter.embed(sum(row in self._known for row in _rows(ids)))
        return ids


def _rows(ids: Tensor) -> list[bytes]:
    return [row.tobytes() for row in ids.numpy()]


class ReferenceTexts:
    """The original's embeddings of texts.

    Of one run alone: the company a text is embedded in shows in its last bits.

    Args:
        tokenize: Texts -> token ids ``[n, context_length]`` on its device.

    Attributes:
        known: Text -> embedding ``[d]``, L2-normalised, of those that were asked for.
    """

    def __init__(self, reference: nn.Module, tokenize: Callable[[Sequence[str]], Tensor]) -> None:
        self._reference, self._tokenize = reference, tokenize
        self.known: dict[str, Tensor] = {}

    def of(self, captions: Sequence[str]) -> Tensor:
        """Embeddings ``[n, d]`` of texts."""
        if new := [caption for caption in dict.fromkeys(captions) if caption not in self.known]:
            ids = self._tokenize(new)
            with torch.no_grad(), float32(ids.device):
                parts = [encode_text(self._reference, part, normalize=True) for part in torch.split(ids, CHUNK)]
            self.known.update(zip(new, torch.cat(parts), strict=True))
        return torch.stack([self.known[caption] for caption in captions])
