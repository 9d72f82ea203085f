"""Whose a temporary file or folder is: its name says it, so that what a killed process has left can be taken away."""

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
#: What ends the name of a whole folder that was moved aside for the one that was to take its place.
_ASIDE = "-old"
#: Machine, process, and when that began: numbers of processes are given out again.
_SIGNATURE = re.compile(r"([0-9a-f]{8})-([0-9]{1,9})-([0-9]{1,20})-[0-9a-f]{8}")
_OWNER = re.compile(rf"\.(?P<name>.+)\.(?P<signature>{_SIGNATURE.pattern})({_ASIDE})?", re.DOTALL)


def signature() -> str:
    """A fresh name that says which process it is of."""
    pid = os.getpid()
    return f"{_place()}-{pid}-{_began(pid)}-{secrets.token_hex(4)}"


def temporary_name(path: Path) -> Path:
    """A fresh hidden name beside a path, of this process."""
    return path.with_name(f".{path.name}.{signature()}")


def aside(temporary: Path) -> Path:
    """Where what stands at a temporary folder's place is moved, for want of a better way."""
    return temporary.with_name(temporary.name + _ASIDE)


def belongs_at(name: str) -> str | None:
    """The name whose place a temporary was to take; None where it is no temporary."""
    owner = _OWNER.fullmatch(name)
    return owner["name"] if owner else None


def is_aside(name: str) -> bool:
    """Whether it is what stood at that place before."""
    return name.endswith(_ASIDE)


def abandoned(path: Path) -> bool:
    """Whether a temporary file or folder belongs to no living process, so that nobody will put it in its place.

    Raises:
        OSError: It is gone.
    """
    owner = _OWNER.fullmatch(path.name)
    return _gone(path, owner["signature"] if owner else "", _FORSAKEN)


def forsaken(path: Path, silent: float) -> bool:
    """Whether a folder that has a signature as its name, or another one, is no living process's.

    Args:
        silent: Seconds after which a process of another machine is gone if nothing in the folder was written to.

    Raises:
        OSError: It is gone.
    """
    return _SIGNATURE.fullmatch(path.name) is None or _gone(path, path.name, silent)


def _gone(path: Path, signed: str, silent: float) -> bool:
    owner = _SIGNATURE.fullmatch(signed)
    if owner is not None and owner[1] == _place():
        return not _lives(int(owner[2]), owner[3])
    newest = path.lstat().st_mtime
    for folder, _, names in os.walk(path):
        newest = max(newest, *(Path(folder, name).lstat().st_mtime for name in ("", *names)))
    return newest + silent < time.time()


def _lives(pid: int, began: str) -> bool:
    import psutil

    if not psutil.pid_exists(pid) or _facts(pid)[:1] == ["Z"]:  # gone, or dead and not yet buried
        return False
    return "0" in (began, now := _began(pid)) or began == now


def _began(pid: int) -> str:
    """When a process began, as the kernel counts; 0 where it does not say."""
    return next(iter(_facts(pid)[19:]), "0")


def _facts(pid: int) -> list[str]:
    """What the kernel says of a process, from its state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


@cache
def _place() -> str:
    """Where numbers of processes mean the same: a machine, or a container on it."""
    namespace = Path("/proc/self/ns/pid")
    inode = namespace.stat().st_ino if namespace.exists() else 0
    return hashlib.sha256(f"{platform.node()} {inode}".encode()).hexdigest()[:8]
