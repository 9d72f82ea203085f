"""Random streams: one per (world, purpose, item), so that no draw depends on the order of any other."""

from __future__ import annotations

import zlib

import numpy as np


def stream(world: int, purpose: str, *item: int) -> np.random.Generator:
    """A generator of its own for one item of one purpose in one world."""
    return np.random.default_rng(np.random.SeedSequence([world, zlib.crc32(purpose.encode()), *item]))


def seed_of(world: int, purpose: str, *item: int) -> int:
    """An integer seed in [0, 2**63) for libraries that take one (Faker, torch)."""
    return int(stream(world, purpose, *item).integers(0, 2**63 - 1))
