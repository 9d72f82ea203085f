"""Locks between processes, of one person or of several who share a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salmu_core.disk.files import make_home
from salmu_core.errors import FileError


@contextmanager
def held(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock for a block; yields whether it is held.

    Args:
        path: Its file, which others may write as far as the umask allows it; its folder is made where it is absent.
        wait: Whether to wait for whoever holds it.

    Raises:
        FileError: It is somebody else's, and may not be written.
        OSError: It can't be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        make_home(path.parent)
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    except PermissionError as error:
        theirs = next(place for place in (path, *path.parents) if place.exists())
        raise FileError(
            path,
            f"{theirs} belongs to {_owner(theirs)} and may not be written by you. Whoever shares a folder needs "
            "rights to it: `umask 002` and a common group, or folders of their own (--output, SALMU_CACHE)",
        ) from error
    try:
        yield True
    finally:
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, NotImplementedError):  # a number that no account has
        return f"user {path.stat().st_uid}"
