"""Random numbers as pure functions of names: nothing here touches a global generator."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch


def seed_of(*parts: object) -> int:
    """A 63-bit seed from any parts; equal parts, equal seed, on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A CPU generator seeded by `seed_of` its parts."""
    return torch.Generator().manual_seed(seed_of(*parts))


@lru_cache(maxsize=8)
def permutation(n: int, *parts: object) -> np.ndarray:
    """A permutation of ``range(n)``; read-only."""
    order = torch.randperm(n, generator=generator(*parts)).numpy()
    order.setflags(write=False)
    return order
