"""The pairs of a pool as models take them: of a split of the benchmark, or of a user's stream."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from salmu_core.benchmark.pixels import DirectPixels, Pixels
from salmu_core.benchmark.rows import Rows
from salmu_core.clip.model import Clip
from salmu_core.clip.texts import encode_text
from salmu_core.contract.features import Features
from salmu_core.contract.progress import Progress
from salmu_core.errors import MethodError
from salmu_core.train.order import CHUNK


class Inputs:
    """Rows with their images and tokens, which are the same for all models of one benchmark.

    Args:
        rows: The rows.
        clip: A model, for its preprocessing and tokenizer; its weights are not held.
        streamed: Whether each row is drawn about once: then nothing of it is kept on disk or tokenised in advance.
    """

    def __init__(self, rows: Rows, clip: Clip, streamed: bool = False, progress: Progress | None = None) -> None:
        self.rows = rows
        self.streamed = streamed
        self._clip = dataclasses.replace(clip, model=None)
        self._pixels = DirectPixels(rows, clip) if streamed else Pixels(rows, clip, progress)
        self._tokens: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, index: np.ndarray) -> Tensor:
        """Images, uint8 ``[b, 3, h, w]``."""
        return self._pixels(index)

    def tokens(self, index: np.ndarray) -> Tensor:
        """Token ids ``[b, context_length]``, on the CPU."""
        if self.streamed:
            return self._clip.tokenize([self.rows.captions[i] for i in index])
        if self._tokens is None:
            self._tokens = self._clip.tokenize(self.rows.captions)
        return self._tokens[torch.from_numpy(np.ascontiguousarray(index))]


class Source:
    """Some of those rows, numbered anew, with the original's embeddings, each made when first asked for.

    Args:
        inputs: The rows.
        clip: The original.
        device: Where it computes.
        part: Numbers of the rows that are meant; by default all.
    """

    def __init__(self, inputs: Inputs, clip: Clip, device: torch.device, part: np.ndarray | None = None) -> None:
        self._inputs = inputs
        self._clip = clip
        self._device = device
        self._part = np.arange(len(inputs)) if part is None else part
        self._embedded: set[int] = set()
        self._reference: Features | None = None

    def __len__(self) -> int:
        return len(self._part)

    def pixels(self, index: np.ndarray) -> Tensor:
        """Images, uint8 ``[b, 3, h, w]``."""
        return self._inputs.pixels(self._part[index])

    def tokens(self, index: np.ndarray) -> Tensor:
        """Token ids ``[b, context_length]``, on the CPU."""
        return self._inputs.tokens(self._part[index])

    def reference_features(self, index: np.ndarray) -> tuple[Features, int]:
        """The original's embeddings of rows, and how many pairs had to be embedded for that now.

        They come from a model that no method ever holds, in whole chunks of fixed composition: which run
        asks first, and what it did before, must not show in the bits.
        """
        chunks = [int(c) for c in np.unique(index // CHUNK) if int(c) not in self._embedded]
        for chunk in chunks:
            rows = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self)))
            image, text = self._embed(rows)
            if self._reference is None:
                # Of a stream, little is ever embedded: there, only what is written to takes up memory.
                place = torch.device("cpu") if self._inputs.streamed else self._device
                self._reference = Features(
                    *(torch.empty(len(self), image.shape[1], dtype=image.dtype, device=place) for _ in range(2))
                )
            self._reference.image[rows], self._reference.text[rows] = (
                side.to(self._reference.image.device) for side in (image, text)
            )
            self._embedded.add(chunk)
        assert self._reference is not None
        where = torch.from_numpy(index).to(self._reference.image.device)
        image, text = (side[where].to(self._device) for side in (self._reference.image, self._reference.text))
        return Features(image, text), sum(min(CHUNK, len(self) - chunk * CHUNK) for chunk in chunks)

    def _embed(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        # Whoever asks first, and from within whatever mode or precision: the same numbers.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            images = self._clip.normalize(self.pixels(rows), self._device)
            image = self._clip.model.encode_image(images, normalize=True)
            text = encode_text(self._clip.model, self.tokens(rows).to(self._device), normalize=True)
        return image, text


def listed(captions: Sequence[str]) -> Sequence[str]:
    """Those captions.

    Raises:
        MethodError: There are none, or it is a text alone, which would be taken for its letters.
    """
    if isinstance(captions, str) or not len(captions):
        given = f"the text {captions!r}" if captions else "none"
        raise MethodError(f"texts to embed or tokenize are a list of one or more; {given} was given")
    return captions
