"""Arithmetic that is float32 all through, whatever training beside it was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def float32(device: torch.device | str) -> Iterator[None]:
    """A block that computes in float32: no autocast, and no TF32 or bfloat16 inside of products and convolutions.

    Cosines of a ViT-B/16 in bfloat16 are off by up to 2e-3, and metrics are held to 1e-4; torch itself lets
    convolutions on a card be TF32, and a method may have switched on more.
    """
    settings = list(_settings())
    before = [_unless_mixed(read) for read, _, _ in settings]
    try:
        for _, write, exact in settings:
            write(exact)
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        for (_, write, _), value in zip(settings, before, strict=True):
            if value is not None:
                write(value)


def _settings() -> Iterator[tuple[Callable[[], Any], Callable[[Any], None], object]]:
    """What reads and writes how torch multiplies float32, and the value that means float32: first by older names."""
    backends: Any = torch.backends
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    settings: list[tuple[Any, str, object]] = [(backends.cudnn, "allow_tf32", False)]
    if hasattr(backends, "fp32_precision"):  # from torch 2.9
        cuda = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        settings += [(one, "fp32_precision", "ieee") for one in (*cuda, backends.mkldnn.matmul, backends.mkldnn.conv)]
    for backend, name, exact in settings:
        yield partial(getattr, backend, name), partial(setattr, backend, name), exact


def _unless_mixed(read: Callable[[], Any]) -> Any:
    """A setting; None for an older name where torch does not tell it, as newer ones were used."""
    try:
        return read()
    except RuntimeError:
        return None
