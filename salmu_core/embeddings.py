"""Embeds a benchmark's splits once per checkpoint, in an order nothing can change.

The composition of a batch shows in the last bits of an embedding. So what is embedded together is fixed by
the benchmark alone: rows leaf by leaf (`EvaluationData.leaves`) in row order, distinct captions with the
first leaf they occur in. Whichever metric asks first, and whatever else is asked, the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from salmu_core.clip import Clip
from salmu_core.dataset import EvaluationData, Pixels, Rows
from salmu_core.errors import BenchmarkError
from salmu_core.zeroshot import ZeroShot

#: Rows embedded at a time.
CHUNK = 256


class Images:
    """Decoded images of all base splits and the zero-shot set, shared by the checkpoints of a process.

    Args:
        data: The benchmark.
        clip: A model whose preprocessing is used.
    """

    def __init__(self, data: EvaluationData, clip: Clip) -> None:
        sources = dict(data.base)
        if data.zeroshot is not None:
            zs = data.zeroshot
            none: tuple[None, ...] = (None,) * len(zs.keys)
            sources["zeroshot"] = Rows("zeroshot", zs.keys, none, zs.keys, zs.encoded)
        self._preprocessing = clip.config["preprocess_cfg"], clip.image_size
        self._pixels = {name: Pixels(rows, clip.to_pixels) for name, rows in sources.items()}

    def fits(self, clip: Clip) -> bool:
        """Whether a model's preprocessing gives these very pixels."""
        return self._preprocessing == (clip.config["preprocess_cfg"], clip.image_size)

    def __call__(self, base: str, index: np.ndarray) -> Tensor:
        """Pixels of rows of a base split, uint8 ``[b, 3, h, w]``."""
        return self._pixels[base](index)


class Catalogue:
    """The distinct captions of a benchmark as one model's tokenizer sees them, grouped by leaf.

    Two captions with equal tokens are one: the model can't tell them apart, so neither may the last bits.
    """

    def __init__(self, data: EvaluationData, clip: Clip) -> None:
        self._clip = clip
        self._ids: dict[str, int] = {}
        self._by_tokens: dict[bytes, int] = {}
        self.tokens: list[Tensor] = []
        self.group_of: list[str] = []
        for leaf, (base, index) in data.leaves.items():
            self.add(leaf, (data.base[base].captions[i] for i in index))

    def add(self, group: str, captions: Iterable[str]) -> None:
        """Enter captions that are not in yet, under a group that is embedded as a whole."""
        new = [c for c in dict.fromkeys(captions) if c not in self._ids]
        if not new:
            return
        for caption, tokens in zip(new, self._clip.tokenize(new), strict=True):
            key = tokens.numpy().tobytes()
            if key not in self._by_tokens:
                self._by_tokens[key] = len(self.tokens)
                self.tokens.append(tokens)
                self.group_of.append(group)
            self._ids[caption] = self._by_tokens[key]

    def ids(self, captions: Sequence[str]) -> np.ndarray:
        """Number of each caption's tokens among the distinct ones ``[n]``; -1 for unknown captions."""
        return np.array([self._ids.get(c, -1) for c in captions], dtype=int)


class Embedder:
    """Embeddings of one checkpoint.

    Args:
        clip: The checkpoint.
        data: The benchmark.
        images: Decoded images, shared between checkpoints with the same preprocessing.
        device: Where to compute.
        on_batch: Called with the number of items embedded, for progress.
    """

    def __init__(
        self,
        clip: Clip,
        data: EvaluationData,
        images: Images,
        device: torch.device | str = "cpu",
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.data = data
        self.images_encoded = 0
        self.captions_encoded = 0
        self._clip = clip
        self._images = images
        self._device = device
        self._on_batch = on_batch
        self._catalogue = Catalogue(data, clip)
        self._by_leaf: dict[str, Tensor] = {}
        self._text: dict[int, Tensor] = {}

    def images(self, split: str) -> Tensor:
        """L2-normalised image embeddings of a split ``[n, d]``, float32, on the CPU."""
        if split == "zeroshot":
            return self._leaf("zeroshot", "zeroshot", np.arange(len(self.zeroshot().keys)))
        rows, index = self.data.locate(split)
        if not len(index):
            raise BenchmarkError(f"split {split} has no rows in this benchmark")
        wanted = set(index.tolist())
        found: dict[int, Tensor] = {}
        for leaf, (base, members) in self.data.leaves.items():
            if base == rows.name and not wanted.isdisjoint(members.tolist()):
                embedded = self._leaf(leaf, base, members)
                found |= {int(i): e for i, e in zip(members, embedded, strict=True)}
        return torch.stack([found[int(i)] for i in index])

    def texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of any texts ``[n, d]``, float32, on the CPU."""
        ids = self._catalogue.ids(captions)
        if (ids < 0).any():
            unknown = [c for c, i in zip(captions, ids, strict=True) if i < 0]
            # One request, one group: what a metric asks for together is embedded together.
            self._catalogue.add(f"prompts {len(self._catalogue.tokens)}", unknown)
            ids = self._catalogue.ids(captions)
        for group in {self._catalogue.group_of[i] for i in ids if int(i) not in self._text}:
            self._embed_group(group)
        return torch.stack([self._text[int(i)] for i in ids])

    def zeroshot(self) -> ZeroShot:
        """The zero-shot set.

        Raises:
            BenchmarkError: The benchmark has none.
        """
        if self.data.zeroshot is None:
            raise BenchmarkError("not measured: this benchmark folder has no zero-shot set")
        return self.data.zeroshot

    def _leaf(self, leaf: str, base: str, members: np.ndarray) -> Tensor:
        if leaf not in self._by_leaf:
            parts = []
            for start in range(0, len(members), CHUNK):
                pixels = self._images(base, members[start : start + CHUNK])
                self.images_encoded += len(pixels)
                parts.append(self._encode("encode_image", self._clip.normalize(pixels, self._device)))
            self._by_leaf[leaf] = torch.cat(parts)
        return self._by_leaf[leaf]

    def _embed_group(self, group: str) -> None:
        members = [i for i, g in enumerate(self._catalogue.group_of) if g == group]
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            tokens = torch.stack([self._catalogue.tokens[i] for i in chunk]).to(self._device)
            self.captions_encoded += len(chunk)
            self._text.update(zip(chunk, self._encode("encode_text", tokens), strict=True))

    @torch.inference_mode()
    def _encode(self, tower: str, inputs: Tensor) -> Tensor:
        embedded: Tensor = getattr(self._clip.model, tower)(inputs, normalize=True)
        if self._on_batch is not None:
            self._on_batch(len(inputs))
        return embedded.float().cpu()
