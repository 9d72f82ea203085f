"""The next step's images, on their way to the card while it computes this one's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salmu_core.contract.features import PoolName
from salmu_core.contract.steps import Drawable
from salmu_core.run.pool import Pool

#: Gives the rows of a step by its number, whenever it is asked.
Rows = Callable[[int], np.ndarray]


class SideStream:
    """The way to a CUDA device, from memory that does not move, beside what it computes."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, pixels: Tensor) -> Any:
        """Start to bring pixels there, from any thread; what it returns is for `receive`."""
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            there = pixels.pin_memory().to(self._device, non_blocking=True)
            return there, self._stream.record_event()

    def receive(self, sent: Any) -> Tensor:
        """The pixels, for what the device is given from now on."""
        there, arrived = sent
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(arrived)
        there.record_stream(stream)  # or its memory would be the side stream's again too early
        pixels: Tensor = there
        return pixels


class Ahead:
    """Reads a step ahead in one thread: whoever looked at a set's images in one step will in the next.

    What is read is a pure function of the step's number, as ever; what nobody asks for is neither charged nor seen. An
    exception comes up where the images are asked for; asked for again, they are read there and then.
    """

    def __init__(self, lane: SideStream) -> None:
        self._lane = lane
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._coming: dict[PoolName, Future[tuple[np.ndarray, Any]]] = {}
        self._open = True

    def drawn(self, pool: Pool, step: int, rows: Rows) -> Drawable:
        """A set as a step's batch sees it, which begins the next one's images once it is asked for its own.

        Args:
            rows: The rows of this and other steps.
        """
        return _Drawn(pool, lambda index: self._images(pool, step, rows, index))

    def close(self) -> None:
        """Wait for the thread, and let go of what it read."""
        self._open = False
        self._thread.shutdown(cancel_futures=True)
        self._coming.clear()

    def _images(self, pool: Pool, step: int, rows: Rows, index: np.ndarray) -> Tensor:
        coming = self._coming.pop(pool.name, None)
        if self._open:
            self._coming[pool.name] = self._thread.submit(self._read, pool, step + 1, rows)
        if coming is not None:
            read, sent = coming.result()
            if np.array_equal(read, index):  # and not of a step whose images nobody looked at
                return pool.normalized(self._lane.receive(sent))
        return pool.images(index)

    def _read(self, pool: Pool, step: int, rows: Rows) -> tuple[np.ndarray, Any]:
        index = rows(step)
        return index, self._lane.send(pool.pixels(index))


@dataclass(frozen=True)
class _Drawn:
    pool: Pool
    images: Callable[[np.ndarray], Tensor]

    @property
    def name(self) -> PoolName:
        return self.pool.name

    @property
    def captions(self) -> Sequence[str]:
        return self.pool.captions

    def tokens(self, index: np.ndarray) -> Tensor:
        return self.pool.tokens(index)

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        return self.pool.tokenize(captions)


@contextmanager
def ahead(device: torch.device) -> Iterator[Ahead | None]:
    """A block in which images are read ahead; None on a CPU, which has nothing else to do meanwhile."""
    if device.type != "cuda":
        yield None
        return
    reader = Ahead(SideStream(device))
    try:
        yield reader
    finally:
        reader.close()
