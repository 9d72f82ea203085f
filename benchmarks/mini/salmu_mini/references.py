"""What the two reference models are fed: pictures that are moved and mirrored, and their captions.

Architecture, loop and saving are the core's `train_reference`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor

from salmu_mini.recipe import Recipe
from salmu_mini.seeds import stream

#: Pixels a training picture may be moved by, in each direction.
SHIFT = 3


@dataclass(frozen=True)
class Pairs:
    """Pictures (n, side, side, 3) uint8 and token ids (n, context) int64, row by row."""

    pixels: NDArray[np.uint8]
    tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> Tensor:
        """The pictures as the core takes them, (n, 3, side, side) uint8."""
        return channels_first(self.pixels)


def tokenize(texts: list[str], recipe: Recipe) -> NDArray[np.int64]:
    """Token ids (n, context) of open_clip's own tokenizer; equal captions are tokenized once."""
    tokenizer = open_clip.SimpleTokenizer(context_length=recipe.context_length)
    distinct = list(dict.fromkeys(texts))
    ids = tokenizer(distinct).numpy().astype(np.int64)
    place = {text: number for number, text in enumerate(distinct)}
    rows: NDArray[np.int64] = ids[[place[text] for text in texts]]
    return rows


def channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """(n, side, side, 3) to (n, 3, side, side)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def augment(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Randomly moved and mirrored pictures."""
    count, side = pixels.shape[:2]
    padded = np.pad(pixels, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    moves = rng.integers(0, 2 * SHIFT + 1, size=(2, count))
    along, across = moves[:, :, None] + np.arange(side)
    across = np.where(rng.random(size=(count, 1)) < 0.5, across[:, ::-1], across)
    moved: NDArray[np.uint8] = padded[np.arange(count)[:, None, None], along[:, :, None], across[:, None, :]]
    return moved


class Augmented:
    """Endless shuffled batches of one set of pairs; order and augmentation are a function of world and name."""

    def __init__(self, name: str, pairs: Pairs, batch: int, world: int) -> None:
        self.tokens = torch.from_numpy(pairs.tokens)
        self._pixels = pairs.pixels
        self._batch = min(batch, len(pairs))
        self._order, self._noise = stream(world, f"{name} order"), stream(world, f"{name} augmentation")
        self._queue: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """The next pairs: augmented pictures and row numbers."""
        if len(self._queue) < self._batch:
            self._queue = np.concatenate([self._queue, self._order.permutation(len(self._pixels))])
        chosen, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        return channels_first(augment(self._pixels[chosen], self._noise)), torch.from_numpy(chosen)


def feeds(retain: Pairs, sensitive: Pairs | None, world: int, recipe: Recipe) -> list[Augmented]:
    """What a model sees: the retain pairs, and if any the sensitive pairs, which change nothing about the former."""
    sets = [Augmented("retain", retain, recipe.retain_batch, world)]
    if sensitive is not None:
        sets.append(Augmented("sensitive", sensitive, recipe.sensitive_batch, world))
    return sets
