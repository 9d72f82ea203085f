"""Embeds a benchmark's splits once per checkpoint, in an order nothing can change.

The composition of a batch shows in the last bits of an embedding. So what is embedded together is fixed by
the benchmark alone: rows leaf by leaf (`EvaluationData.leaves`) in row order, distinct captions with the
first leaf they occur in. Whichever metric asks first, and whatever else is asked, the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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

    Attributes:
        tokens: Distinct token sequences.
        groups: Leaf -> numbers of the sequences that are embedded with it.
    """

    def __init__(self, data: EvaluationData, clip: Clip) -> None:
        self._tokenize = clip.tokenize
        self._numbers: dict[bytes, int] = {}
        self._known: dict[str, int] = {}
        self.tokens: list[Tensor] = []
        self.groups: dict[str, list[int]] = {}
        for leaf, (base, index) in data.leaves.items():
            captions = dict.fromkeys(data.base[base].captions[i] for i in index)
            new = [caption for caption in captions if caption not in self._known]
            self.groups[leaf] = []
            for caption, tokens in zip(new, self._tokenize(new) if new else (), strict=True):
                number = self._numbers.setdefault(tokens.numpy().tobytes(), len(self.tokens))
                if number == len(self.tokens):
                    self.tokens.append(tokens)
                    self.groups[leaf].append(number)
                self._known[caption] = number
        self.group_of = {number: leaf for leaf, members in self.groups.items() for number in members}

    def find(self, texts: Sequence[str]) -> tuple[list[int | None], list[Tensor]]:
        """Number of each text's tokens, and the tokens themselves of texts that have none."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        tokens = dict(zip(fresh, self._tokenize(fresh) if fresh else (), strict=True))
        numbers = [
            self._known[text] if text in self._known else self._numbers.get(tokens[text].numpy().tobytes())
            for text in texts
        ]
        return numbers, [tokens[t] for t, number in zip(texts, numbers, strict=True) if number is None]


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
        self._captions: dict[int, Tensor] = {}
        self._prompts: dict[tuple[bytes, ...], dict[bytes, Tensor]] = {}

    def images(self, split: str) -> Tensor:
        """L2-normalised image embeddings of a split ``[n, d]``, float32, on the CPU."""
        if split == "zeroshot":
            return self._leaf("zeroshot", "zeroshot", np.arange(len(self.zeroshot().keys)))
        rows, index = self.data.locate(split)
        wanted = set(index.tolist())
        found: dict[int, Tensor] = {}
        for leaf, (base, members) in self.data.leaves.items():
            if base == rows.name and not wanted.isdisjoint(members.tolist()):
                embedded = self._leaf(leaf, base, members)
                found |= {int(i): e for i, e in zip(members, embedded, strict=True)}
        return torch.stack([found[int(i)] for i in index])

    def texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of any texts ``[n, d]``, float32, on the CPU.

        Texts that are no caption of the benchmark are embedded in the company they are asked for in, once for
        each such request: what another metric asks for must not show in their bits.
        """
        numbers, prompts = self._catalogue.find(captions)
        for leaf in {self._catalogue.group_of[n]: None for n in numbers if n is not None and n not in self._captions}:
            members = self._catalogue.groups[leaf]
            self._captions.update(zip(members, self._embed([self._catalogue.tokens[i] for i in members]), strict=True))
        keys = [tokens.numpy().tobytes() for tokens in prompts]
        request = tuple(dict.fromkeys(keys))
        if request and request not in self._prompts:
            distinct = list(dict(zip(keys, prompts, strict=True)).values())
            self._prompts[request] = dict(zip(request, self._embed(distinct), strict=True))
        prompt = iter(keys)
        return torch.stack([self._prompts[request][next(prompt)] if n is None else self._captions[n] for n in numbers])

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

    def _embed(self, tokens: Sequence[Tensor]) -> Iterator[Tensor]:
        for start in range(0, len(tokens), CHUNK):
            chunk = torch.stack(list(tokens[start : start + CHUNK])).to(self._device)
            self.captions_encoded += len(chunk)
            yield from self._encode("encode_text", chunk)

    @torch.inference_mode()
    def _encode(self, tower: str, inputs: Tensor) -> Tensor:
        embedded: Tensor = getattr(self._clip.model, tower)(inputs, normalize=True)
        if self._on_batch is not None:
            self._on_batch(len(inputs))
        return embedded.float().cpu()
