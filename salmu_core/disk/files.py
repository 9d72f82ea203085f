"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from salmu_core.disk.hashing import hash_text
from salmu_core.errors import UsageError

#: Seconds after which what nobody has written to, and nobody here can be asked about, belongs to nobody.
_FORSAKEN = 86_400


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    Raises:
        UsageError: At ``path`` is something that no file may replace, such as a device or a pipe.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is there already and is no file: choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode & 0o777  # as the user's umask has it; what writes it may make it anew
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def abandoned(path: Path) -> bool:
    """Whether a temporary file or folder belongs to no living process, so that nobody will put it in its place.

    Raises:
        OSError: It is gone.
    """
    owner = re.fullmatch(r"\..+\.([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{8}", path.name)
    if owner is not None and owner[1] == _machine():
        import psutil

        if not psutil.pid_exists(int(owner[2])):
            return True
    return path.lstat().st_mtime + _FORSAKEN < time.time()


@cache
def _machine() -> str:
    """Where numbers of processes mean the same."""
    namespace = Path("/proc/self/ns/pid")
    return hash_text(f"{platform.node()} {namespace.stat().st_ino if namespace.exists() else ''}")[:8]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``final`` when the block ends well, and vanishes otherwise.

    What stood at ``final`` is replaced.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    temporary.chmod(0o755)
    old = final.with_name(f".{final.name}.old-{os.getpid()}")
    try:
        yield temporary
        if final.exists():
            final.replace(old)
        temporary.replace(final)
    except BaseException:
        if old.exists() and not final.exists():
            old.replace(final)
        raise
    finally:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
