"""How long work tells how far it is. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: ``progress(stage, fraction)``: what is being done, and how far the whole is, from 0 to 1.
Progress = Callable[[str, float], None]


OnStep = Callable[[int, int, Mapping[str, float]], None]
