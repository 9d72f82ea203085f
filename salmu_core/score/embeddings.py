"""Embeds a benchmark's splits once per checkpoint, in an order nothing can change.

The composition of a batch shows in the last bits of an embedding. So what is embedded together is fixed by
the benchmark alone: rows leaf by leaf (`EvaluationData.leaves`) in row order, distinct captions with the
first leaf they occur in. Whichever metric asks first, and whatever else is asked, the bits are the same.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from salmu_core.benchmark.pixels import Pixels, preprocessing
from salmu_core.benchmark.rows import Rows
from salmu_core.benchmark.splits import EvaluationData
from salmu_core.benchmark.tokens import tokenize
from salmu_core.clip.float32 import float32
from salmu_core.clip.model import Clip
from salmu_core.clip.texts import encode_text
from salmu_core.contract.progress import Progress
from salmu_core.contract.zeroshot import ZeroShot
from salmu_core.errors import NotMeasuredError
from salmu_core.train.order import CHUNK


class Images:
    """Decoded images of all base splits and the zero-shot set, shared by the checkpoints of a process.

    Args:
        clip: A model whose preprocessing is used.
    """

    def __init__(self, data: EvaluationData, clip: Clip, progress: Progress | None = None) -> None:
        sources = dict(data.base)
        if data.zeroshot is not None:
            zs = data.zeroshot
            none: tuple[None, ...] = (None,) * len(zs.keys)
            sources["zeroshot"] = Rows("zeroshot", zs.keys, none, zs.keys, zs.encoded, zs.content)
        self._preprocessing = preprocessing(clip)
        self._pixels = {name: Pixels(rows, clip, progress) for name, rows in sources.items()}

    def fits(self, clip: Clip) -> bool:
        """Whether a model's preprocessing gives these very pixels."""
        return self._preprocessing == preprocessing(clip)

    def __call__(self, base: str, index: np.ndarray) -> Tensor:
        """Pixels of rows of a base split, uint8 ``[b, 3, h, w]``."""
        return self._pixels[base](index)


class Catalogue:
    """The distinct captions of a benchmark as one tokenizer sees them, grouped by leaf.

    Two captions with equal tokens are one: the model can't tell them apart, so neither may the last bits.

    Args:
        clip: A model whose tokenizer is used.

    Attributes:
        tokens: Distinct token sequences ``[k, context_length]``.
        group_of: Which leaf each is embedded with ``[k]``.
        leaves: Names of the leaves, by the numbers in ``group_of``.
    """

    def __init__(self, data: EvaluationData, clip: Clip) -> None:
        self._tokenize = clip.tokenize
        self._identity = _tokenizer(clip)
        self._numbers: dict[bytes, int] = {}
        self._known: dict[str, int] = {}
        self.leaves = tuple(data.leaves)
        tokens: list[Tensor] = []
        group_of: list[int] = []
        for leaf, (base, index) in enumerate(data.leaves.values()):
            captions = dict.fromkeys(data.base[base].captions[i] for i in index)
            new = [caption for caption in captions if caption not in self._known]
            for caption, row in zip(new, tokenize(clip, new) if new else (), strict=True):
                number = self._numbers.setdefault(row.numpy().tobytes(), len(tokens))
                if number == len(tokens):
                    tokens.append(row)
                    group_of.append(leaf)
                self._known[caption] = number
        self.tokens = torch.stack(tokens)
        self.group_of = np.array(group_of)

    def fits(self, clip: Clip) -> bool:
        """Whether a model's tokenizer gives these very tokens."""
        return self._identity == _tokenizer(clip)

    def find(self, texts: Sequence[str]) -> tuple[np.ndarray, list[Tensor]]:
        """Number of each text's tokens, -1 where they are no caption's, and the tokens themselves of those."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        tokens = dict(zip(fresh, self._tokenize(fresh) if fresh else (), strict=True))
        numbers = [
            self._known[text] if text in self._known else self._numbers.get(tokens[text].numpy().tobytes(), -1)
            for text in texts
        ]
        return np.array(numbers, dtype=int), [tokens[t] for t, number in zip(texts, numbers, strict=True) if number < 0]


def _tokenizer(clip: Clip) -> tuple[str, bytes]:
    """Two tokenizers for which this is equal are one."""
    samples = clip.tokenize(["A photo of Zo\u00eb\u2019s caf\u00e9, no. 42!", "x@example.org CM98 7411 " * 20])
    return json.dumps(clip.config["model_cfg"].get("text_cfg"), sort_keys=True), samples.numpy().tobytes()


class Embeddings(ABC):
    """Embeddings of one checkpoint, and the benchmark they are of."""

    data: EvaluationData

    @abstractmethod
    def images(self, split: str) -> Tensor:
        """L2-normalised image embeddings of a split ``[n, d]``, float32, on the CPU."""

    @abstractmethod
    def texts(self, captions: Sequence[str]) -> Tensor:
        """L2-normalised embeddings of any texts ``[n, d]``, float32, on the CPU; equal tokens, equal bits."""

    @abstractmethod
    def zeroshot(self) -> ZeroShot:
        """The zero-shot set.

        Raises:
            NotMeasuredError: The benchmark has none.
        """


class Embedder(Embeddings):
    """Embeddings of one checkpoint, each made when first asked for.

    Args:
        images: Decoded images, shared between checkpoints with the same preprocessing.
        on_batch: Called with the number of items embedded, for progress.
        catalogue: Tokenised captions, shared between checkpoints with the same tokenizer.
    """

    def __init__(
        self,
        clip: Clip,
        data: EvaluationData,
        images: Images,
        device: torch.device | str = "cpu",
        on_batch: Callable[[int], None] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.data = data
        self.images_encoded = 0
        self.captions_encoded = 0
        self._clip = clip
        self._images = images
        self._device = device
        self._on_batch = on_batch
        self._catalogue = catalogue or Catalogue(data, clip)
        self._by_base: dict[str, Tensor] = {}
        self._leaves_done: set[str] = set()
        self._captions: Tensor | None = None
        self._groups_done: set[int] = set()
        self._prompts: dict[tuple[bytes, ...], dict[bytes, Tensor]] = {}

    def images(self, split: str) -> Tensor:
        if split == "zeroshot":
            everything = np.arange(len(self.zeroshot().keys))
            self._embed_leaf("zeroshot", "zeroshot", everything, len(everything))
            return self._by_base["zeroshot"]
        rows, index = self.data.locate(split)
        wanted = np.zeros(len(rows), dtype=bool)
        wanted[index] = True
        for leaf, (base, members) in self.data.leaves.items():
            if base == rows.name and wanted[members].any():
                self._embed_leaf(leaf, base, members, len(rows))
        return self._by_base[rows.name][torch.from_numpy(index)]

    def texts(self, captions: Sequence[str]) -> Tensor:
        """As `Embeddings.texts`.

        Texts that are no caption of the benchmark are embedded in the company they are asked for in, once for
        each such request: what another metric asks for must not show in their bits.
        """
        numbers, prompts = self._catalogue.find(captions)
        own = torch.from_numpy(numbers[numbers >= 0])
        known = self._known_captions(np.unique(self._catalogue.group_of[own]).tolist())
        if not prompts:
            assert known is not None or not len(own)
            return known[own] if known is not None else torch.empty(0)
        keys = [tokens.numpy().tobytes() for tokens in prompts]
        request = tuple(dict.fromkeys(keys))
        if request not in self._prompts:
            distinct = torch.stack(list(dict(zip(keys, prompts, strict=True)).values()))
            self._prompts[request] = dict(zip(request, self._embed(distinct), strict=True))
        others = torch.stack([self._prompts[request][key] for key in keys])
        embedded = others.new_empty(len(captions), others.shape[1])
        embedded[torch.from_numpy(numbers < 0)] = others
        if known is not None and len(own):
            embedded[torch.from_numpy(numbers >= 0)] = known[own]
        return embedded

    def zeroshot(self) -> ZeroShot:
        if self.data.zeroshot is None:
            raise NotMeasuredError("the benchmark has no zero-shot set; its documentation says how to bring one")
        return self.data.zeroshot

    def _embed_leaf(self, leaf: str, base: str, members: np.ndarray, rows: int) -> None:
        if leaf in self._leaves_done:
            return
        for start in range(0, len(members), CHUNK):
            part = members[start : start + CHUNK]
            pixels = self._images(base, part)
            self.images_encoded += len(pixels)
            embedded = self._encode(self._clip.model.encode_image, self._clip.normalize(pixels, self._device))
            if base not in self._by_base:
                self._by_base[base] = embedded.new_full((rows, embedded.shape[1]), torch.nan)
            self._by_base[base][torch.from_numpy(part)] = embedded
        self._leaves_done.add(leaf)

    def _known_captions(self, groups: Sequence[int]) -> Tensor | None:
        """Embeddings of the catalogue's captions, those of some groups filled in; None while none is."""
        for group in groups:
            if group in self._groups_done:
                continue
            members = torch.from_numpy(np.flatnonzero(self._catalogue.group_of == group))
            embedded = self._embed(self._catalogue.tokens[members])
            if self._captions is None:
                self._captions = embedded.new_full((len(self._catalogue.tokens), embedded.shape[1]), torch.nan)
            self._captions[members] = embedded
            self._groups_done.add(group)
        return self._captions

    def _embed(self, tokens: Tensor) -> Tensor:
        parts = []
        for start in range(0, len(tokens), CHUNK):
            chunk = tokens[start : start + CHUNK].to(self._device)
            self.captions_encoded += len(chunk)
            parts.append(self._encode(partial(encode_text, self._clip.model), chunk))
        return torch.cat(parts)

    @torch.inference_mode()
    def _encode(self, tower: Callable[..., Tensor], inputs: Tensor) -> Tensor:
        with float32(self._device):
            embedded = tower(inputs, normalize=True)
        if self._on_batch is not None:
            self._on_batch(len(inputs))
        return embedded.float().cpu()
