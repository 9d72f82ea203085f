"""The pairs of a pool as models take them: of a split of the benchmark, or of a user's stream."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from salmu_core.benchmark.pixels import DirectPixels, Pixels, preprocessing
from salmu_core.benchmark.rows import Rows
from salmu_core.benchmark.tokens import tokenize
from salmu_core.clip.float32 import float32
from salmu_core.clip.model import Clip, moved
from salmu_core.clip.texts import encode_text
from salmu_core.contract.features import Features
from salmu_core.contract.progress import Progress
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.space import EMBEDDINGS
from salmu_core.errors import MethodError
from salmu_core.machine import numerics
from salmu_core.plugins.code import code_hash
from salmu_core.train.order import CHUNK


class Inputs:
    """Rows with their images and tokens, which are the same for all models of one benchmark.

    Args:
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

    def heal(self) -> None:
        """Make decoded images again, if any is damaged."""
        if isinstance(self._pixels, Pixels):
            self._pixels.heal()

    def pixels(self, index: np.ndarray) -> Tensor:
        """Images, uint8 ``[b, 3, h, w]``."""
        return self._pixels(index)

    def sound(self, index: np.ndarray) -> np.ndarray:
        """Those rows, and of a stream others for those whose images can't be decoded."""
        return self._pixels.sound(index) if isinstance(self._pixels, DirectPixels) else index

    def tokens(self, index: np.ndarray) -> Tensor:
        """Token ids ``[b, context_length]``, on the CPU."""
        if self.streamed:
            return self._clip.tokenize([self.rows.captions[i] for i in index])
        if self._tokens is None:
            self._tokens = tokenize(self._clip, self.rows.captions)
        return self._tokens[torch.from_numpy(np.ascontiguousarray(index))]


class Source:
    """Some of those rows, numbered anew, with the original's embeddings, each made when first asked for.

    Args:
        clip: The original.
        part: Numbers of the rows that are meant; by default all.
    """

    def __init__(self, inputs: Inputs, clip: Clip, device: torch.device, part: np.ndarray | None = None) -> None:
        self._inputs = inputs
        self._clip = clip
        self._device = device
        self._part = np.arange(len(inputs)) if part is None else part
        self._embedded: set[int] = set()
        self._reference: Features | None = None
        self._original: str | None = None
        self._made: list[tuple[Any, dict[str, Tensor]]] = []

    def __len__(self) -> int:
        return len(self._part)

    def pixels(self, index: np.ndarray) -> Tensor:
        """Images, uint8 ``[b, 3, h, w]``."""
        return self._inputs.pixels(self._part[index])

    def tokens(self, index: np.ndarray) -> Tensor:
        """Token ids ``[b, context_length]``, on the CPU."""
        return self._inputs.tokens(self._part[index])

    def recall(self, original: str) -> None:
        """Take embeddings from the cache from now on, where it has them.

        Args:
            original: Fingerprint of the original, as it is now.
        """
        self._made = []
        # Of a stream each row is drawn about once, and of a model of unknown code nobody can say what it computes.
        known = type(self._clip.model).__module__.partition(".")[0] == "open_clip" and self._inputs.rows.content
        self._original = original if known and not self._inputs.streamed else None

    @property
    def identity(self) -> str | None:
        """Hash of all that these rows are to a model; None where it isn't known."""
        return None if self._original is None else hash_json(self._data(np.arange(len(self))))

    def keep(self) -> None:
        """Put what was embedded since `recall` into the cache.

        To be called when the original is found to be what it was: a method that changed it must change nobody else's
        figures, and least of all those of later days.
        """
        for key, sides in self._made:
            remember(EMBEDDINGS, key, save(sides))
        self._made = []

    def reference_features(self, index: np.ndarray) -> Features:
        """The original's embeddings of rows.

        They come from a model that no method ever holds, in whole chunks of fixed composition: which run
        asks first, and what it did before, must not show in the bits.
        """
        # Whoever asks first, and from within whatever mode or precision: the same numbers.
        with torch.inference_mode(False), torch.no_grad(), float32(self._device):
            for chunk in np.unique(index // CHUNK).tolist():
                if chunk not in self._embedded:
                    self._fill(np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self))))
                    self._embedded.add(chunk)
        assert self._reference is not None
        where = moved(torch.from_numpy(index), self._reference.image.device)
        image, text = (side[where].to(self._device) for side in (self._reference.image, self._reference.text))
        return Features(image, text)

    def _fill(self, rows: np.ndarray) -> None:
        key = self._key(rows)
        known = None if key is None else recall(EMBEDDINGS, key)
        if known is not None:
            sides = load(known)
        else:
            sides = dict(zip(("image", "text"), self._embed(rows), strict=True))
            if key is not None:
                self._made.append((key, {name: side.to("cpu", copy=True) for name, side in sides.items()}))
        if self._reference is None:
            # Of a stream, little is ever embedded: there, only what is written to takes up memory.
            place = torch.device("cpu") if self._inputs.streamed else self._device
            self._reference = Features(
                *(torch.empty(len(self), side.shape[1], dtype=side.dtype, device=place) for side in sides.values())
            )
        self._reference.image[rows] = sides["image"].to(self._reference.image.device)
        self._reference.text[rows] = sides["text"].to(self._reference.text.device)

    def _key(self, rows: np.ndarray) -> Any:
        """All that embeddings of some rows depend on; None where they are not kept."""
        if self._original is None:
            return None
        return {
            "model": [
                self._original,
                type(self._clip.model).__qualname__,
                json.dumps(self._clip.config, sort_keys=True),
            ],
            **self._data(rows),
            "code": code_hash("salmu_core"),
            "computed": numerics(self._device),
        }

    def _data(self, rows: np.ndarray) -> dict[str, Any]:
        return {
            "images": [self._inputs.rows.content, preprocessing(self._clip), self._part[rows].tolist()],
            "texts": hashlib.sha256(self.tokens(rows).numpy().tobytes()).hexdigest(),
        }

    def _embed(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
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
