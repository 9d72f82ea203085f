"""A launcher such as ``accelerate launch``: each of several processes does its share alone, and waits at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from salmu_core.run.accelerator import WEEK
from salmu_core.run.launch import check_flags, place

#: Variables by which a process finds the others, and the beginnings of some.
_TOGETHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_BEGINNINGS = ("TORCHELASTIC_", "GROUP_", "ROLE_", "PMI_", "OMPI_COMM_", "MV2_COMM_", "MPI_")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def launched() -> tuple[int, int]:
    """Under a launcher: which process this is, and of how many; else ``(0, 1)``.

    Raises:
        UsageError: The environment says something that makes no sense.
    """
    check_flags()
    return place()


@contextmanager
def by_itself() -> Iterator[None]:
    """A block in which this process, and all that it starts, is like one that no launcher has started.

    Its card is the only one then.
    """
    before = dict(os.environ)
    if "LOCAL_RANK" in before:
        local, cards = int(before["LOCAL_RANK"]), before.get(_VISIBLE, "").split(",")
        os.environ[_VISIBLE] = cards[local] if len(cards) > local and cards[local] else str(local)
    for name in before:
        if name in _TOGETHER or name.startswith(_BEGINNINGS):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)
        if _VISIBLE not in before:
            os.environ.pop(_VISIBLE, None)


def wait_for_all() -> None:
    """Until all processes of a launcher are here: the first one shows what all of them have made."""
    if launched()[1] > 1:
        import torch.distributed

        torch.distributed.init_process_group("gloo", timeout=WEEK)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
