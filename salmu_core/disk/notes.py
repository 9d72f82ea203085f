"""What people should know and no error says: told once by a process, to whoever shows things."""

from __future__ import annotations

import logging

#: Heard by whoever shows things to people.
LOG = logging.getLogger("salmu_core.notes")
LOG.setLevel(logging.WARNING)
_said: set[str] = set()


def note(sentence: str, about: str = "") -> None:
    """Tell something that is odd and stops nothing, once in a process: of what it is about, if that is given."""
    if (about or sentence) not in _said:
        _said.add(about or sentence)
        LOG.warning("%s", sentence)
