"""The forget or the retain set as methods meet it: images, tokens, and the original's embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from salmu_core.clip import Clip
from salmu_core.dataset import Pixels, Rows
from salmu_core.pairs import Features, Pairs, PoolName
from salmu_core.seeding import permutation

#: Rows the original embeds at a time. Fixed, because the composition of a batch shows in the last bits.
CHUNK = 256
#: Rows of each set that a probe looks at, and the most it may take of the retain set.
PROBE_ROWS = 256
PROBE_SHARE = 0.1


class Pool:
    """One set, shared by all runs of a process.

    Attributes:
        rows: Numbers of the rows that may be drawn. Forget rows all may; some retain rows are kept for the probe
            alone, or what it says of utility would be said of training data.
        probed: Numbers of the rows a probe looks at; of a retain set too small to spare any, all.
    """

    def __init__(
        self, name: PoolName, rows: Rows, clip: Clip, device: torch.device, generic: Sequence[str] = ()
    ) -> None:
        self.name: PoolName = name
        self.captions = rows.captions
        self.pairs = Pairs(rows.captions, rows.identity_ids, tuple(generic))
        self._clip = clip
        self._device = device
        self._pixels = Pixels(rows, clip.to_pixels)
        self._tokens: Tensor | None = None
        self._embedded: set[int] = set()
        spared = PROBE_ROWS if name == "forget" else min(PROBE_ROWS, int(PROBE_SHARE * len(self)))
        order = permutation(len(self), "probe", name)
        self.probed = np.sort(order[:spared] if spared else order)
        self.rows = np.sort(order[spared:] if spared and name == "retain" else order)
        self._reference: Features | None = None

    def __len__(self) -> int:
        return len(self.captions)

    def images(self, index: np.ndarray) -> Tensor:
        """Normalised images ``[b, 3, h, w]`` on the device."""
        return self._clip.normalize(self._pixels(index), self._device)

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Token ids ``[b, context_length]`` on the device."""
        return self._clip.tokenize(captions).to(self._device)

    def tokens(self, index: np.ndarray) -> Tensor:
        """Token ids of rows, tokenised once, ``[b, context_length]`` on the device."""
        if self._tokens is None:
            self._tokens = self._clip.tokenize(self.captions)
        return self._tokens[torch.from_numpy(np.ascontiguousarray(index))].to(self._device)

    def reference_features(self, index: np.ndarray) -> tuple[Features, int]:
        """The original's embeddings of rows, and how many pairs had to be embedded for that now.

        They come from a model that no method ever holds, in whole chunks of fixed composition: which run
        asks first, and what it did before, must not show in the bits.
        """
        chunks = [int(c) for c in np.unique(index // CHUNK) if int(c) not in self._embedded]
        for chunk in chunks:
            rows = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self)))
            # Whoever asks first, and from within whatever mode or precision: the same numbers.
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(self._device.type, enabled=False):
                image = self._clip.model.encode_image(self.images(rows), normalize=True)
                text = self._clip.model.encode_text(self.tokens(rows), normalize=True)
            if self._reference is None:
                self._reference = Features(*(image.new_empty(len(self), image.shape[1]) for _ in range(2)))
            self._reference.image[rows], self._reference.text[rows] = image, text
            self._embedded.add(chunk)
        assert self._reference is not None
        where = torch.from_numpy(index).to(self._device)
        found = Features(self._reference.image[where], self._reference.text[where])
        return found, sum(min(CHUNK, len(self) - chunk * CHUNK) for chunk in chunks)
