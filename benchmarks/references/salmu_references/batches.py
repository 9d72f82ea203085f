"""Every step's batch as a pure function of its number: which pairs, which crops, and which process has which."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from open_clip.transform import AugmentationCfg, PreprocessCfg, image_transform_v2
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose

from salmu_core.clip.pictures import opened
from salmu_core.errors import BenchmarkError, PictureError
from salmu_core.train.order import Order
from salmu_core.train.pretraining import Batch
from salmu_core.train.seeding import seed_of
from salmu_references.recipe import Recipe
from salmu_references.sources import Pairs

#: Pairs after an unreadable one that may take its place.
_TRIES = 16


def train_transform(config: dict[str, Any], size: Any, recipe: Recipe) -> Compose:
    """open_clip's transform for training, up to uint8: what follows is done on the device.

    Args:
        config: Content of ``open_clip_config.json``.
        size: Side of the images in pixels, or (height, width).
        recipe: Says how crops are drawn.
    """
    preprocess = PreprocessCfg(size=size, interpolation=config["preprocess_cfg"]["interpolation"])
    whole = image_transform_v2(preprocess, is_train=True, aug_cfg=AugmentationCfg(scale=recipe.crop_scale))
    *spatial, _to_tensor, _normalize = whole.transforms
    return Compose(spatial)


def sensitive_until(step: int, steps: int, draws: int) -> int:
    """Sensitive pairs drawn before a step, spread evenly over the training; exactly ``draws`` at its end."""
    return step * draws // steps


def share(total: int, rank: int, world: int) -> tuple[int, int]:
    """Where one process's part of ``total`` pairs begins and ends; parts differ by one pair at most."""
    return rank * total // world, (rank + 1) * total // world


@dataclass(frozen=True)
class Cut:
    """Which pairs make up each batch: the retain pairs, and for Compromised the sensitive ones after them.

    Attributes:
        recipe: Batch size, seed and shuffling.
        retain: The retain pairs.
        sensitive: The sensitive pairs, or None for Clean.
        steps: Steps of the training.
    """

    recipe: Recipe
    retain: Pairs
    sensitive: Pairs | None
    steps: int

    @property
    def draws(self) -> int:
        """Sensitive pairs drawn over the whole training."""
        return self.recipe.sensitive_draws(len(self.retain), len(self.sensitive)) if self.sensitive else 0

    def bounds(self, step: int) -> list[tuple[int, int]]:
        """First and last draw (exclusive) of the retain and of the sensitive pairs of one batch."""
        batch = self.recipe.batch
        first, last = (sensitive_until(number, self.steps, self.draws) for number in (step, step + 1))
        return [(step * batch, (step + 1) * batch), (first, last)]

    def size(self, step: int) -> int:
        """Pairs of one batch."""
        return sum(last - first for first, last in self.bounds(step))

    def orders(self) -> list[tuple[Pairs, Order]]:
        """The sets and their orders; that of the retain pairs does not know whether there are sensitive ones."""
        sets = [self.retain, *([self.sensitive] if self.sensitive else [])]
        return [(pairs, Order(pairs.sizes, self.recipe.shuffle, self.recipe.seed, pairs.name)) for pairs in sets]


class Batches(Dataset[tuple[Tensor, Tensor, int]]):
    """One process's part of every batch, by the number of the step.

    Args:
        cut: Which pairs make up each batch.
        transform: From an image to the crop that is seen; its random numbers are drawn from torch's global state,
            which is set for it and put back.
        tokenizer: open_clip's tokenizer of the model.
        rank: Which process.
        world: Of how many.
    """

    def __init__(self, cut: Cut, transform: Compose, tokenizer: Any, rank: int, world: int) -> None:
        self._cut, self._sets = cut, cut.orders()
        self._transform, self._tokenizer = transform, tokenizer
        self._rank, self._world = rank, world

    def __len__(self) -> int:
        return self._cut.steps

    def draws(self, step: int) -> list[tuple[int, int, int, int]]:
        """(set, number of the draw, part, place) of each pair of this process's part of a batch."""
        begin, end = share(self._cut.size(step), self._rank, self._world)
        drawn, passed = [], 0
        for which, ((_, order), (first, last)) in enumerate(zip(self._sets, self._cut.bounds(step), strict=False)):
            start, stop = first + max(0, begin - passed), first + min(last - first, end - passed)
            if start < stop:
                rows = order.at(start, stop)
                drawn += [(which, start + n, int(part), int(place)) for n, (part, place) in enumerate(rows)]
            passed += last - first
        return drawn

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, int]:
        """Images (uint8 ``[n, 3, h, w]``), token ids (``[n, context]``), and how many pairs stand in for others."""
        images, captions, replaced = [], [], 0
        for which, number, part, place in self.draws(step):
            pairs = self._sets[which][0]
            for offset in range(_TRIES):
                name, encoded, caption = pairs.read(part, (place + offset) % pairs.sizes[part])
                try:
                    image = self._crop(encoded, pairs.name, number)
                    break
                except PictureError as error:
                    # Web data have such images. Sensitive pairs are counted, and must be whole.
                    if which or offset + 1 == _TRIES:
                        raise BenchmarkError(
                            f"image {name!r} of {pairs.parts[part].path} can't be read: {error}"
                        ) from error
                    replaced += offset == 0
            images.append(image)
            captions.append(caption)
        return torch.from_numpy(np.stack(images)), self._tokenizer(captions), replaced

    def _crop(self, encoded: bytes, name: str, number: int) -> np.ndarray:
        with opened(encoded) as picture:
            image = picture.convert("RGB")
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(seed_of("crop", self._cut.recipe.seed, name, number))
        try:
            return np.asarray(self._transform(image), dtype=np.uint8).transpose(2, 0, 1)
        finally:
            torch.set_rng_state(before)


def load(batches: Batches, cut: Cut, start: int, workers: int, device: torch.device, world: int) -> Iterator[Batch]:
    """The batches from one step on, read ahead by other processes.

    Args:
        batches: This process's part.
        cut: Which pairs make up each batch.
        start: The first step.
        workers: Processes that read; 0 reads in this one.
        device: Where the tensors go.
        world: Number of processes that train.
    """
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, cut.steps),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=_deaf,
        generator=torch.Generator(),  # left out, it would be the global one
    )
    for step, (images, tokens, replaced) in enumerate(loader, start):
        size = cut.size(step)
        ends = [share(size, rank, world) for rank in range(world)]
        inputs = (images.to(device, non_blocking=True), tokens.to(device, non_blocking=True))
        yield Batch(inputs, tuple(end - begin for begin, end in ends), replaced)


def _deaf(_: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the one that trains decides when readers end."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
