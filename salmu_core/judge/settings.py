"""Tells configurations of one name apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def distinct(settings: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which some other differs, as ``name=value``."""
    return [f"{name}={value}" for name, value in settings.items() if any(o.get(name) != value for o in others)]
