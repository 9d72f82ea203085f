"""The forget or the retain set as methods meet it: which rows may be drawn, in which order, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from salmu_core.benchmark.retain import Stream
from salmu_core.clip.model import Clip, moved
from salmu_core.contract.features import Features, Pairs, PoolName
from salmu_core.errors import MethodError
from salmu_core.run.inputs import Inputs, Source
from salmu_core.train.order import rows_at, streamed
from salmu_core.train.seeding import permutation

#: Rows of each set that a probe looks at, and the most it may take of the retain set.
PROBE_ROWS = 256
PROBE_SHARE = 0.1


class Pool:
    """One set, shared by all runs of a process that begin alike.

    Rows are numbered through: first those of the benchmark, then those of a user's stream.

    Args:
        inputs: The benchmark's rows.
        clip: The original: the model that runs begin with.
        asked: For the forget set, what the deletion request says of each row.
        part: Numbers of the rows that this set is; by default all.
        stream: Pairs that are mixed in, of a user's own.
        streamed: The stream's rows.

    Attributes:
        rows: Numbers of the benchmark's rows that may be drawn. Forget rows all may; some retain rows are kept for
            the probe alone, or what it says of utility would be said of training data.
        probed: Numbers of the rows a probe looks at; of a retain set too small to spare any, all.
    """

    def __init__(
        self,
        name: PoolName,
        inputs: Inputs,
        clip: Clip,
        device: torch.device,
        asked: Pairs | None = None,
        part: np.ndarray | None = None,
        stream: Stream | None = None,
        streamed: Inputs | None = None,
    ) -> None:
        self.name: PoolName = name
        self._clip = clip
        self._device = device
        self._stream = stream
        self._own = Source(inputs, clip, device, part)
        self._others = Source(streamed, clip, device) if streamed else None
        self._streamed = streamed
        known = asked or Pairs(inputs.rows.captions, inputs.rows.identity_ids)
        own = known if part is None else known.of(part)
        more = (streamed.rows.captions, streamed.rows.identity_ids) if streamed else ((), ())
        self.pairs = replace(own, captions=own.captions + more[0], identity_ids=own.identity_ids + more[1])
        self.captions = self.pairs.captions
        rows = len(self._own)
        spared = PROBE_ROWS if name == "forget" else min(PROBE_ROWS, int(PROBE_SHARE * rows))
        order = permutation(rows, "probe", name)
        self.probed = np.sort(order[:spared] if spared else order)
        self.rows = np.sort(order[spared:] if spared and name == "retain" else order)

    def __len__(self) -> int:
        return len(self.captions)

    def room(self, batch: int) -> int:
        """The largest batch, up to ``batch``, that can be drawn without a row twice.

        Raises:
            MethodError: It is the user's shards that have too few pairs.
        """
        held, wanted = len(self._others or ()), self._stream.of(batch) if self._stream else 0
        if held < wanted:
            raise MethodError(
                f"your shards hold {held} pairs, and a batch of {batch} takes {wanted} of them: give more shards, or a "
                "smaller batch_size or --retain-share"
            )
        batch = min(batch, max(1, len(self)))
        while batch > 1 and not self._fits(batch):
            batch -= 1
        return batch

    def draw(self, batch: int, step: int, *parts: object) -> np.ndarray:
        """Numbers of the rows ``[batch]`` of one step: a pure function of its arguments.

        Raises:
            MethodError: The set has too few rows, or the stream's share of so small a batch is no whole pair.
        """
        others = self._stream.of(batch) if self._stream else 0
        if self._stream and self._stream.record.share < 1 and others in (0, batch):
            raise MethodError(
                f"a share of {self._stream.record.share:g} leaves retain_synth or your shards without a pair in a "
                f"batch of {batch}: choose a larger batch_size or another --retain-share"
            )
        if not self._fits(batch):
            raise MethodError(f"the {self.name} set has too few pairs for a batch of {batch}")
        rows = []
        if own := batch - others:
            rows.append(self.rows[rows_at(len(self.rows), own, step, *parts)])
        if others and self._others:
            rows.append(len(self._own) + streamed(len(self._others), others, step, *parts, "stream"))
        return np.concatenate(rows)

    def sound(self, rows: np.ndarray) -> np.ndarray:
        """Those rows ``[b]``, with another of the stream's for each whose image can't be decoded; else as they are."""
        own = len(self._own)
        if self._streamed is None or rows[-1] < own:
            return rows
        return np.concatenate([rows[rows < own], own + self._streamed.sound(rows[rows >= own] - own)])

    def batches(self, batch: int) -> int:
        """Number of whole batches in one pass: until the first of benchmark and stream has been seen whole."""
        others = self._stream.of(batch) if self._stream else 0
        sizes = [(len(self.rows), batch - others), (len(self._others or ()), others)]
        return min(have // take for have, take in sizes if take)

    def one_pass(self, batch: int, *parts: object) -> Iterator[np.ndarray]:
        """Numbers of the rows of one pass, batch by batch; without a stream the last one may be smaller."""
        if self._stream:
            yield from (self.draw(batch, step, *parts) for step in range(self.batches(batch)))
            return
        order = self.rows[permutation(len(self.rows), *parts)]
        yield from (order[start : start + batch] for start in range(0, len(order), batch))

    def images(self, index: np.ndarray) -> Tensor:
        """Normalised images ``[b, 3, h, w]`` on the device."""
        return self.normalized(self.pixels(index))

    def pixels(self, index: np.ndarray) -> Tensor:
        """Images, uint8 ``[b, 3, h, w]``, on the CPU."""
        return self._gather(index, Source.pixels)

    def normalized(self, pixels: Tensor) -> Tensor:
        """As `images`, of pixels wherever they are."""
        return self._clip.normalize(pixels, self._device)

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """Token ids ``[b, context_length]`` on the device."""
        return moved(self._clip.tokenize(captions), self._device)

    def tokens(self, index: np.ndarray) -> Tensor:
        """Token ids of rows, ``[b, context_length]`` on the device."""
        return moved(self._gather(index, Source.tokens), self._device)

    def reference_features(self, index: np.ndarray) -> Features:
        """The original's embeddings of rows."""
        features = [source.reference_features(rows) for source, rows in self._parts(index)]
        if len(features) == 1:
            return features[0]
        images, texts = (torch.cat([getattr(part, side) for part in features]) for side in ("image", "text"))
        return Features(images, texts)

    def recall(self, original: str) -> None:
        """From now on, take the original's embeddings from the cache: see `Source.recall`."""
        self._own.recall(original)

    @property
    def identity(self) -> str | None:
        """Two sets for which this is equal hold the same; None where that isn't known."""
        return self._own.identity if self._stream is None else None

    def keep(self) -> None:
        """Put what was embedded since then into the cache."""
        self._own.keep()

    def _fits(self, batch: int) -> bool:
        return self.batches(batch) > 0

    def _parts(self, index: np.ndarray) -> list[tuple[Source, np.ndarray]]:
        """Rows by where they come from. Batches have the benchmark's first, so no order is lost."""
        own = index < len(self._own)
        if self._others is None or own.all():
            return [(self._own, index)]
        assert (np.diff(own.astype(int)) <= 0).all(), "rows of a stream come last"
        both = [(self._own, index[own]), (self._others, index[~own] - len(self._own))]
        return [(source, rows) for source, rows in both if len(rows)]

    def _gather(self, index: np.ndarray, read: Callable[[Source, np.ndarray], Tensor]) -> Tensor:
        parts = [read(source, rows) for source, rows in self._parts(index)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class Pools(dict[PoolName, Pool]):
    """The sets that may be drawn from, by name."""

    def __missing__(self, name: PoolName) -> Pool:
        raise MethodError(f"there is no set {name!r} to draw from; there is {' and '.join(map(repr, self))}")


def common_batch(pools: dict[PoolName, Pool], asked: int) -> int:
    """The largest batch, up to what was asked, that every set has room for.

    Raises:
        MethodError: A set has room for less than half: what comes of it says little about the batch that was asked.
    """
    scarce = min(pools.values(), key=lambda pool: pool.room(asked))
    size = scarce.room(asked)
    if 2 * size < asked:
        raise MethodError(
            f"batches of {asked} pairs were asked for, and the {scarce.name} set has {size} to draw from, less than "
            f"half of it: set batch_size to {2 * size} or less"
        )
    return size
