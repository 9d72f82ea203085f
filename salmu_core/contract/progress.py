"""How long work tells how far it is. Importing this costs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: ``progress(stage, fraction)``: what is being done, and how far the whole is, from 0 to 1. It is told of what lasts:
#: building a world, and decoding images the first time.
Progress = Callable[[str, float], None]

#: Is told of every step of a training: steps done, steps in all (0 if nobody knows), and figures by name.
OnStep = Callable[[int, int, Mapping[str, float]], None]

#: Is told of every scalar that goes into a run's record: name, value, step.
OnScalar = Callable[[str, float, int], None]


def untold(*_: object) -> None:
    """In the place of any of these: nobody is told."""
