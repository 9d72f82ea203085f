"""Forget rows as metrics see them under an attack; all other rows are as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from salmu_core.attack.asking import chunks, one_for_each
from salmu_core.benchmark.splits import EvaluationData
from salmu_core.clip.model import Clip
from salmu_core.contract.attack import Query, Reading
from salmu_core.contract.layout import FORGET, ZEROSHOT
from salmu_core.contract.zeroshot import ZeroShot
from salmu_core.errors import AttackError, NotMeasuredError
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


class ExchangedView(ForgetView):
    """The same, asked the other way round: captions stand in the place of images, and images in that of captions."""

    def images(self, split: str) -> Tensor:
        if split == ZEROSHOT or (located := self.data.locate(split))[0].name != FORGET:
            return super().images(split)
        rows, index = located
        return super().texts([rows.captions[i] for i in index])

    def texts(self, captions: Sequence[str]) -> Tensor:
        if unseen := [caption for caption in captions if caption not in self._shown]:
            raise NotMeasuredError(f"of {len(unseen):,} captions, as {unseen[0]!r}, there is no image to look for")
        return torch.stack([self._shown[caption] for caption in captions])

    @cached_property
    def _shown(self) -> dict[str, Tensor]:
        """Caption -> mean direction of the images that have it, of those that are ranked among one another."""
        images: dict[str, list[Tensor]] = defaultdict(list)
        for split in (FORGET, "retain_disjoint"):
            rows, index = self.data.locate(split)
            for i, image in zip(index, super().images(split), strict=True):
                images[rows.captions[i]].append(image)
        return {caption: functional.normalize(torch.stack(seen).mean(0), dim=0) for caption, seen in images.items()}


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
def changed_images(query: Query, forget: Pool, target: Clip) -> Tensor:
    """Embeddings of all forget images as an attack changes them ``[n, d]``, float32, on the CPU.

    Raises:
        AttackError: What it makes of them are no images.
    """
    embedded = []
    change, name = (query.pixels, "pixels") if query.pixels else (query.images, "images")
    assert change is not None
    for rows in chunks(len(forget)):
        images = forget.pixels(rows) if query.pixels else forget.images(rows)
        changed = change(images.clone())
        if not isinstance(changed, Tensor) or changed.shape != images.shape:
            raise AttackError(
                f"Query.{name} made {list(getattr(changed, 'shape', [])) or type(changed).__name__} of images "
                f"{list(images.shape)}; it must keep their shape"
            )
        if query.pixels and changed.dtype != images.dtype:
            raise AttackError(f"Query.pixels made {changed.dtype} of {images.dtype}; it must keep their type")
        if not bool(torch.isfinite(changed).all()):
            raise AttackError(f"Query.{name} made NaN or infinite pixels")
        shown = forget.normalized(changed) if query.pixels else changed.to(images)
        embedded.append(target.model.encode_image(shown, normalize=True).float().cpu())
    return torch.cat(embedded)


def read_images(reading: Reading, leaked: Sequence[int]) -> Tensor:
    """What is read of each forget image, L2-normalised ``[n, e]``; of leaked rows, which nobody looks at, all alike."""
    image = reading.image.detach().float().cpu().clone()
    image[torch.tensor(leaked, dtype=torch.int64)] = 1.0
    return functional.normalize(image, dim=-1)
