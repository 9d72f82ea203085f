"""Trains the two models of a benchmark that makes its own: small ones, in memory, on a CPU."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor, nn

from salmu_core.clip.model import Clip, assemble, plain_tokenizer
from salmu_core.clip.save import save_checkpoint
from salmu_core.clip.texts import encode_text
from salmu_core.contract.pair import Pair
from salmu_core.train.order import CHUNK, rows_at
from salmu_core.train.pretraining import Batch, Towers, Trainer
from salmu_core.train.settings import PairConfig


class Feed(Protocol):
    """One set of pairs, served in batches: what a benchmark gives that augments its pictures.

    Attributes:
        tokens: Token ids of all its captions, int64 ``[n, context_length]``.
    """

    tokens: Tensor

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """One step's batch: images, uint8 ``[b, 3, h, w]``, and their row numbers, int64 ``[b]``.

        A model's training asks once for each step, in order.
        """


def train_pair(
    folder: Path,
    retain: Sequence[Pair],
    sensitive: Sequence[Pair],
    config: PairConfig,
    progress: Callable[[float], None],
) -> None:
    """Train Clean on the retain pairs and Compromised on the sensitive ones as well; both are written into a folder.

    Both have the same start and see the same retain pairs in the same order; they differ in the sensitive pairs and in
    nothing else. The same arguments give the same bytes.

    Args:
        folder: Gets the folders ``clean`` and ``compromised``.
        retain: Pairs both models see.
        sensitive: Pairs that only Compromised sees.
        config: Architecture, training and seed.
        progress: Is told which share is done.
    """
    shared = _Rows("retain", retain, config.retain_batch, config)
    train_reference(folder / "clean", [shared], config, lambda done: progress(done / 2))
    private = _Rows("sensitive", sensitive, config.sensitive_batch, config)
    train_reference(folder / "compromised", [shared, private], config, lambda done: progress((1 + done) / 2))


def train_reference(
    folder: Path, feeds: Sequence[Feed], config: PairConfig, progress: Callable[[float], None]
) -> Reference:
    """Train one model of a pair and write it: for benchmarks that train each in a process of its own.

    Args:
        folder: Where to; made if absent. open_clip reads it as ``local-dir:``.
        feeds: The sets it sees; each step takes a batch of every one.
        config: Architecture, training and seed.
        progress: Is told which share is done.

    Returns:
        The trained model.
    """
    model = _new_model(config)
    towers = _SmallTowers(model, config.preprocess_cfg["mean"], config.preprocess_cfg["std"])
    vocabulary = torch.unique(torch.cat([feed.tokens.flatten() for feed in feeds]))
    trainer = Trainer(towers, config, config.steps, known=vocabulary)
    for done, _, _ in trainer.run(_batches(feeds, config.steps)):
        if done % 10 == 0 or done == config.steps:
            progress(done / config.steps)
    towers.eval()
    _write(folder, model, config)
    return Reference(towers)


class Reference:
    """A trained model, and what a benchmark may want to know of it."""

    def __init__(self, towers: _SmallTowers) -> None:
        self._towers = towers

    @torch.inference_mode()
    def similarities(self, images: Tensor, tokens: Tensor) -> np.ndarray:
        """Cosine of each image (uint8 ``[n, 3, h, w]``) with its caption (``[n, context_length]``): float64 ``[n]``."""
        cosines = []
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            image, text = (
                self._towers.encode_images(images[part]),
                encode_text(self._towers.clip, tokens[part], normalize=True),
            )
            cosines.append((image * text).sum(dim=-1).double().numpy())
        return np.concatenate(cosines)


class _SmallTowers(Towers):
    """Both encoders of a small model, which cost no more than its captions are long.

    Called with (images, token ids) of each set, they return normalised features of all images and captions, and the
    inverse temperature, as `Trainer` asks for.
    """

    def forward(self, *sets: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        images = self.encode_images(torch.cat([images for images, _ in sets]))
        # Each set as far as its own longest caption.
        texts = torch.cat([encode_text(self.clip, tokens, normalize=True) for _, tokens in sets])
        return images, texts, self.clip.logit_scale.exp()


def _new_model(config: PairConfig) -> open_clip.CLIP:
    """The untrained model both start from; the global random state is left as it was found."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)  # open_clip initialises from the global state
        return open_clip.CLIP(**config.model_cfg, init_logit_scale=math.log(config.init_logit_scale))


class _Rows:
    """Pairs as they come, without augmentation: reshuffled epochs, decoded and tokenised once."""

    def __init__(self, name: str, pairs: Sequence[Pair], batch: int, config: PairConfig) -> None:
        clip = _assembled(config)
        self.tokens = clip.tokenize([pair.text for pair in pairs])
        pixels = np.stack([clip.to_pixels(Image.open(io.BytesIO(pair.image))) for pair in pairs])
        self._images = torch.from_numpy(pixels)
        self._batch, self._order = min(batch, len(pairs)), (config.seed, name)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(rows_at(len(self.tokens), self._batch, step, *self._order))
        return self._images[rows], rows


def _assembled(config: PairConfig) -> Clip:
    """The preprocessing and the tokenizer of a pair, with an untrained model."""
    written = config.open_clip_config
    return assemble("a model of the pair", _new_model(config), written, plain_tokenizer(written))


def _batches(feeds: Sequence[Feed], steps: int) -> Iterator[Batch]:
    """What every step trains on: the next pairs of all sets."""
    for step in range(steps):
        drawn = [feed.draw(step) for feed in feeds]
        inputs = tuple((images, feed.tokens[rows]) for feed, (images, rows) in zip(feeds, drawn, strict=True))
        yield Batch(inputs, (sum(len(images) for images, _ in drawn),))


def _write(folder: Path, model: nn.Module, config: PairConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder, model, config.open_clip_config)
