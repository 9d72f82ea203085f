"""Arithmetic that is float32 all through, whatever training beside it was told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def float32(device: torch.device | str) -> Iterator[None]:
    """A block that computes in float32: no autocast, and no TF32 or bfloat16 inside of products and convolutions.

    Cosines of a ViT-B/16 in bfloat16 are off by up to 2e-3, and metrics are held to 1e-4; torch itself lets
    convolutions on a card be TF32, and a method may have switched on more.

    Args:
        device: Where the block computes.
    """
    settings = list(_settings())
    before = [getattr(backend, name) for backend, name, _ in settings]
    try:
        for backend, name, exact in settings:
            setattr(backend, name, exact)
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        for (backend, name, _), value in zip(settings, before, strict=True):
            setattr(backend, name, value)


def _settings() -> Iterator[tuple[Any, str, object]]:
    """Where torch keeps how float32 is multiplied, and the value that means float32."""
    backends: Any = torch.backends
    if hasattr(backends, "fp32_precision"):
        cuda = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        for backend in (*cuda, backends.mkldnn.matmul, backends.mkldnn.conv):
            yield backend, "fp32_precision", "ieee"
    else:  # before torch 2.9
        yield backends.cuda.matmul, "allow_tf32", False
        yield backends.cudnn, "allow_tf32", False
