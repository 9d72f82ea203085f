"""What of the machine is this process's."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Where what can be made again lies: ``$SALMU_CACHE``, else the platform's cache folder for this user."""
    override = os.environ.get("SALMU_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("salmu"))


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Undo what the block does to the global generators of Python, NumPy and torch's CPU."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
