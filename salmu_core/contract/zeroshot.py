"""The zero-shot set as metrics see it. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ZeroShot:
    """The set, images still encoded and in their shards.

    Attributes:
        class_names: Name of each class.
        templates: Prompts with ``{c}`` for the class name.
        labels: Class number of each image ``[n]``.
        keys: Name of each sample.
        encoded: Encoded image bytes.
        content: SHA-256 over the shards' contents.
    """

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    labels: np.ndarray
    keys: tuple[str, ...]
    encoded: Sequence[bytes] = field(repr=False)
    content: str = ""
