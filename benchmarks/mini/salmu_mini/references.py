"""Trains the two reference models: one recipe, one seed, the same start and the same retain batches.

The loop, the loss and the optimizer are `salmu_core.train`'s; what is here feeds them from memory: pictures that
are small enough to be moved and mirrored as arrays, and only the words that occur.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from salmu_core.train.pretraining import Batch, Trainer
from salmu_mini.recipe import Recipe
from salmu_mini.seeds import seed_of, stream

#: Pixels a training picture may be moved by, in each direction.
SHIFT = 3


@dataclass(frozen=True)
class Pairs:
    """Pictures (n, side, side, 3) uint8 and token ids (n, context) int64, row by row."""

    pixels: NDArray[np.uint8]
    tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)


def new_model(world: int, recipe: Recipe) -> open_clip.CLIP:
    """The untrained model of a world; both references start from it. Global random state is left as found."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(world, "initial weights"))  # noqa: TID251 - open_clip initialises from the global state
        return open_clip.CLIP(**recipe.model_cfg(), init_logit_scale=math.log(recipe.logit_scale))


def augment(pixels: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Randomly moved and mirrored pictures, normalised as open_clip does: (n, 3, side, side) float32."""
    count, side = pixels.shape[:2]
    padded = np.pad(pixels, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    moves = rng.integers(0, 2 * SHIFT + 1, size=(2, count))
    along, across = moves[:, :, None] + np.arange(side)
    across = np.where(rng.random(size=(count, 1)) < 0.5, across[:, ::-1], across)
    moved = padded[np.arange(count)[:, None, None], along[:, :, None], across[:, None, :]]
    return normalise(moved)


def normalise(pixels: NDArray[np.uint8]) -> Tensor:
    """(n, side, side, 3) uint8 to open_clip's default normalised (n, 3, side, side) float32."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD)
    return torch.from_numpy(pixels).float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2).contiguous()


def encode_text(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """`model.encode_text`, normalised, over no more positions than the longest caption has.

    The same numbers: attention is causal and the embedding is read at the end of the text, before any padding.
    """
    length = int(tokens.argmax(dim=-1).max()) + 1
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection
    return functional.normalize(x, dim=-1)


class Towers(nn.Module):
    """Both encoders, as `salmu_core.train.pretraining` calls them, on a list of (pictures, token ids)."""

    def __init__(self, model: open_clip.CLIP) -> None:
        super().__init__()
        self.clip = model

    def forward(self, *parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        images = self.clip.encode_image(torch.cat([images for images, _ in parts]), normalize=True)
        # Each set as far as its own longest caption.
        texts = torch.cat([encode_text(self.clip, tokens) for _, tokens in parts])
        return images, texts, self.clip.logit_scale.exp()


class _Compact:
    """Trains only the token embeddings that occur: the others get no gradient and no decay anyway."""

    def __init__(self, model: open_clip.CLIP, tokens: list[NDArray[np.int64]]) -> None:
        self.full = model.token_embedding
        self.used = torch.from_numpy(np.unique(np.concatenate([t.ravel() for t in tokens])))
        # Ascending ids keep their order, so the end-of-text token remains the largest.
        rows = self.full.weight.detach()[self.used].clone()
        model.token_embedding = nn.Embedding(len(rows), rows.shape[1], _weight=rows)

    def ids(self, tokens: NDArray[np.int64]) -> Tensor:
        return torch.searchsorted(self.used, torch.from_numpy(tokens))

    def restore(self, model: open_clip.CLIP) -> None:
        with torch.no_grad():
            self.full.weight[self.used] = model.token_embedding.weight
        model.token_embedding = self.full


class _Source:
    """Endless shuffled batches of one set of pairs; order and augmentation are a function of world and name."""

    def __init__(self, name: str, pairs: Pairs, batch: int, words: _Compact, world: int) -> None:
        self._pixels, self._ids = pairs.pixels, words.ids(pairs.tokens)
        self._batch = min(batch, len(pairs))
        self._order, self._noise = stream(world, f"{name} order"), stream(world, f"{name} augmentation")
        self._queue: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def next(self) -> tuple[Tensor, Tensor]:
        """Augmented pictures and compact token ids."""
        if len(self._queue) < self._batch:
            self._queue = np.concatenate([self._queue, self._order.permutation(len(self._pixels))])
        chosen, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        return augment(self._pixels[chosen], self._noise), self._ids[torch.from_numpy(chosen)]


def batches(sources: list[_Source], steps: int) -> Iterator[Batch]:
    """What every step trains on: the next pairs of all sources."""
    for _ in range(steps):
        parts = tuple(source.next() for source in sources)
        yield Batch(parts, (sum(len(images) for images, _ in parts),))


def train(
    model: open_clip.CLIP,
    retain: Pairs,
    sensitive: Pairs | None,
    world: int,
    recipe: Recipe,
    progress: Callable[[float], None],
) -> None:
    """Contrastive pre-training in place; `sensitive` pairs, if any, join the retain pairs of every batch."""
    words = _Compact(model, [retain.tokens] + ([sensitive.tokens] if sensitive else []))
    sources = [_Source("retain", retain, recipe.retain_batch, words, world)]
    if sensitive is not None:
        sources.append(_Source("sensitive", sensitive, recipe.sensitive_batch, words, world))
    trainer = Trainer(Towers(model), recipe.optimisation(), recipe.steps)
    for done, _, _ in trainer.run(batches(sources, recipe.steps)):
        if done % 10 == 0 or done == recipe.steps:
            progress(done / recipe.steps)
    words.restore(model)
    model.eval()
