"""Whose a temporary file is: its name says it, so that what a killed process has left can be taken away."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import time
from functools import cache
from pathlib import Path

#: Seconds after which what nobody has written to, and nobody here can be asked about, belongs to nobody.
_FORSAKEN = 86_400


def temporary_name(path: Path) -> Path:
    """A fresh hidden name beside a path, of this process."""
    return path.with_name(f".{path.name}.{_place()}-{os.getpid()}-{secrets.token_hex(4)}")


def abandoned(path: Path) -> bool:
    """Whether a temporary file or folder belongs to no living process, so that nobody will put it in its place.

    Raises:
        OSError: It is gone.
    """
    owner = re.fullmatch(r"\..+\.([0-9a-f]{8})-([0-9]{1,9})-[0-9a-f]{8}", path.name)
    if owner is not None and owner[1] == _place():
        import psutil

        if not psutil.pid_exists(int(owner[2])):
            return True
    return path.lstat().st_mtime + _FORSAKEN < time.time()


@cache
def _place() -> str:
    """Where numbers of processes mean the same: a machine, or a container on it."""
    namespace = Path("/proc/self/ns/pid")
    inode = namespace.stat().st_ino if namespace.exists() else 0
    return hashlib.sha256(f"{platform.node()} {inode}".encode()).hexdigest()[:8]
