"""Units shared out among processes; nothing of the result depends on how many there are."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Self

from salmu_core import BenchmarkError
from salmu_dataset.stages import STAGES, StageDef
from salmu_dataset.workshop import Workshop

_shop: dict[str, Workshop] = {}


class Crew:
    """Processes that are started when first needed and stay for all stages."""

    def __init__(self, shop: Workshop, processes: int) -> None:
        self._shop, self._processes = shop, processes
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, stage: StageDef, units: Sequence[int], alone: bool, done: Callable[[], None]) -> None:
        """Make units, in this process or in others, and call `done` after each.

        Args:
            stage: Which stage's.
            units: Their numbers.
            alone: Only in this process.
            done: Called after each.

        Raises:
            BenchmarkError: A process was ended from outside.
        """
        if alone or min(self._processes, len(units)) == 1:
            for unit in units:
                stage.make(self._shop, unit)
                done()
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, _begin, (str(self._shop.folder),))
        try:
            for future in as_completed([self._pool.submit(_make, stage.name, unit) for unit in units]):
                future.result()
                done()
        except BrokenProcessPool as error:
            raise BenchmarkError(
                f"a process of stage {stage.name} was ended from outside, perhaps for want of memory. Nothing is lost: "
                "the same command goes on; take fewer --processes."
            ) from error


def _begin(folder: str) -> None:
    _shop["shop"] = Workshop(Path(folder))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(wait: Callable[[], None]) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    wait()
    os._exit(1)


def _make(stage: str, unit: int) -> None:
    next(s for s in STAGES if s.name == stage).make(_shop["shop"], unit)
