"""Content hashes, and the only place that decides how a config or a file becomes one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Hashes:
    """Hashes of files, each of which is read whole, whenever it is asked for; `Stamps` remembers them."""

    def __call__(self, path: Path) -> str:
        """SHA-256 of a file's content, as hex."""
        return hash_file(path)

    def known(self, path: Path) -> bool:
        """Whether a file was noted, and can't have changed since."""
        return False

    def note(self, path: Path) -> None:
        """Note that a file that has just been read was found to be sound."""


#: Where nothing is remembered.
EVERY_BYTE = Hashes()


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, as hex; a path may be no text, and has one too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces), as hex."""
    return hash_text(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False))
