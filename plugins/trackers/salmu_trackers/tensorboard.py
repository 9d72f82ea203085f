"""TensorBoard: its run is a folder; the folders are those of the results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from salmu_core.contract.tracker import Facts, Journal
from salmu_trackers.adapter import Accelerated, AcceleratedJournal, begun


class TensorBoard(Accelerated):
    """`--tracker tensorboard`."""

    name = "tensorboard"
    packages = ("tensorboard", "tensorboardX")
    place = "tensorboard --logdir {folder}"

    def begin(self, kind: Any, facts: Facts, folder: Path, again: bool) -> Journal:
        """See `Accelerated`."""
        own = folder / facts.path
        if not again:
            shutil.rmtree(own, ignore_errors=True)  # as the results do with a run that is made again
        known = own.is_dir()
        return AcceleratedJournal(begun(kind(facts.path.as_posix(), str(folder)), None if known else facts.config))
