"""Texts that come without an image: of the frozen original, remembered in a run; of the model, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from salmu_core.clip.float32 import float32
from salmu_core.clip.texts import encode_text
from salmu_core.run.inputs import listed
from salmu_core.run.meter import Meter
from salmu_core.run.pool import Pools
from salmu_core.train.order import CHUNK


class OwnCaptions:
    """Counts forget captions that are trained on as mere texts, or a budget would end with the images.

    Args:
        pools: The sets; an attacker, who has no budget, has no forget set.
        meter: Where they are counted.
    """

    def __init__(self, pools: Pools, meter: Meter) -> None:
        self._captions = frozenset(pools["forget"].captions if "forget" in pools else ())
        self._meter = meter

    def counted(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts; where there will be gradients, counted.

        Raises:
            MethodError: More of them are forget captions than forget pairs were drawn.
        """
        if torch.is_grad_enabled():
            self._meter.embed(sum(text in self._captions for text in listed(texts)))
        return texts


class ReferenceTexts:
    """The original's embeddings of texts.

    Of one run alone: the company a text is embedded in shows in its last bits.

    Args:
        reference: The original.
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
