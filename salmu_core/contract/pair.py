"""A pair as whoever makes a benchmark hands it over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """One row of a split.

    Attributes:
        image: Encoded image.
        text: Its caption.
        identity_id: The person shown, or None.
        file_name: Unique name, e.g. ``00000110_002_ar-0.76.jpg``.
    """

    image: bytes
    text: str
    identity_id: str | None
    file_name: str
