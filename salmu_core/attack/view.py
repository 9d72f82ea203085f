"""Forget rows as metrics see them under an attack; all other rows are as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from salmu_core.attack.asking import chunks, one_for_each
from salmu_core.benchmark.splits import EvaluationData
from salmu_core.clip.model import Clip
from salmu_core.contract.attack import Reading
from salmu_core.contract.layout import FORGET, ZEROSHOT
from salmu_core.contract.zeroshot import ZeroShot
from salmu_core.errors import AttackError
from salmu_core.run.pool import Pool
from salmu_core.score.embeddings import Embedder, Embeddings


class ForgetView(Embeddings):
    """One checkpoint's embeddings, of forget rows as an attack has them.

    Args:
        plain: The checkpoint's own.
        captioned: The checkpoint's, of a benchmark with other captions; by default with its own.
        image: Embeddings of all forget images ``[n, e]``; by default the checkpoint's own.
        texts: What texts are compared by; by default the checkpoint's own embeddings.
    """

    def __init__(
        self,
        plain: Embedder,
        captioned: Embedder | None = None,
        image: Tensor | None = None,
        texts: Callable[[Sequence[str]], Any] | None = None,
    ) -> None:
        self.data = (captioned or plain).data
        self._plain, self._captioned = plain, captioned or plain
        self._image, self._texts = image, texts
        self._read: dict[str, Tensor] = {}

    def images(self, split: str) -> Tensor:
        if self._image is None or split == ZEROSHOT:
            return self._plain.images(split)
        rows, index = self.data.locate(split)
        return self._image[torch.from_numpy(index)] if rows.name == FORGET else self._plain.images(split)

    def texts(self, captions: Sequence[str]) -> Tensor:
        if self._texts is None or self._image is None:
            return self._captioned.texts(captions)
        if new := [caption for caption in dict.fromkeys(captions) if caption not in self._read]:
            made = one_for_each(self._texts(new), new, self._image.shape[1])
            self._read.update(zip(new, functional.normalize(made, dim=-1), strict=True))
        return torch.stack([self._read[caption] for caption in captions])

    def zeroshot(self) -> ZeroShot:
        return self._plain.zeroshot()


def captioned(data: EvaluationData, captions: Sequence[str]) -> EvaluationData:
    """A benchmark whose forget rows have other captions.

    Args:
        data: The benchmark.
        captions: A caption for each forget row, in order.
    """
    forget = replace(data.base[FORGET], captions=tuple(captions))
    told = dict(data.captions_metadata)
    for name, caption in zip(forget.file_names, captions, strict=True):
        if name in told:
            told[name] = {**told[name], "caption": caption}
    return replace(data, base={**data.base, FORGET: forget}, captions_metadata=told)


@torch.no_grad()
def changed_images(change: Callable[[Tensor], Tensor], forget: Pool, target: Clip) -> Tensor:
    """Embeddings of all forget images as an attack changes them ``[n, d]``, float32, on the CPU.

    Raises:
        AttackError: What it makes of them are no images.
    """
    embedded = []
    for rows in chunks(len(forget)):
        images = forget.images(rows)
        changed = change(images.clone())
        if not isinstance(changed, Tensor) or changed.shape != images.shape:
            raise AttackError(
                f"Query.images made {list(getattr(changed, 'shape', [])) or type(changed).__name__} of images "
                f"{list(images.shape)}; it must keep their shape"
            )
        if not bool(torch.isfinite(changed).all()):
            raise AttackError("Query.images made NaN or infinite pixels")
        embedded.append(target.model.encode_image(changed.to(images), normalize=True).float().cpu())
    return torch.cat(embedded)


def read_images(reading: Reading, leaked: Sequence[int]) -> Tensor:
    """What is read of each forget image, L2-normalised ``[n, e]``; of leaked rows, which nobody looks at, all alike."""
    image = reading.image.detach().float().cpu().clone()
    image[torch.tensor(leaked, dtype=torch.int64)] = 1.0
    return functional.normalize(image, dim=-1)
