"""Files and folders that are written whole or not at all: the one way to commit.

Under a name of this process everything is written and synced; one rename, or one exchange with what stands there, and
the folder around it is synced too. Whenever a process is killed, a reader finds the old one or the new one. What dead
processes have left is taken away at the next commit in the same place; what may be a living one's is left alone.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from salmu_core.disk.owners import abandoned, aside, belongs_at, is_aside, temporary_name
from salmu_core.errors import UsageError

#: What a disk refuses with; the file is not said where only a descriptor was at hand.
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.ENOLCK}
#: What file systems say that can't sync a folder.
_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

_swept: set[tuple[int, Path]] = set()


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    Args:
        path: The file; its rights will be as the user's umask has them.
        durable: Whether it must outlast a loss of power; what carries a checksum and can be made again need not.

    Raises:
        UsageError: At ``path`` is something that no file may replace, such as a device or a pipe.
        OSError: It can't be written; the file is named.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is there already and is no file: choose another name.")
    make_home(path.parent)
    if (here := (os.getpid(), path.parent)) not in _swept:  # once: a cache has many files in a folder
        _swept.add(here)
        sweep(path.parent)
    with _temporary(path) as temporary:
        temporary.touch(exist_ok=False)
        rights = temporary.stat().st_mode
        yield temporary
        _give(temporary, rights)
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(final: Path, stays: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """Yield an empty folder that becomes ``final`` when the block ends well, and vanishes otherwise.

    What stood at ``final`` is replaced, and deleted once the new one stands there.

    Args:
        stays: Whether what stands there, when the block has ended well, is left, and the new one vanishes.

    Raises:
        UsageError: What stands there is no folder.
        OSError: Something can't be written; the file is named.
    """
    if os.path.lexists(final) and not final.is_dir():
        raise UsageError(f"{final} is there already and is no folder: choose another name.")
    make_home(final.parent)
    sweep(final.parent)
    with _temporary(final) as temporary:
        temporary.mkdir()
        yield temporary
        _settle(temporary)
        _take_place(temporary, final, stays)
        sync(final.parent)


def sweep(folder: Path, below: bool = False) -> None:
    """Take away what processes that are gone have left in a folder; what they had moved aside is put back.

    Args:
        folder: Where to look.
        below: Whether to look through all folders in it.
    """
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (place := belongs_at(name)) is not None:
                with suppress(OSError):  # it may not be ours to delete, or somebody else has done so
                    if abandoned(Path(root, name)):
                        _tidy(Path(root, name), Path(root, place))
        folders[:] = [name for name in folders if below and belongs_at(name) is None]


def visible_files(folder: Path) -> list[Path]:
    """The files in a folder and below it, in order, but for hidden ones: those come and go while others write."""
    files: list[Path] = []
    for root, folders, names in os.walk(folder):  # until Python 3.13 Path.rglob fails if a folder goes meanwhile
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += (Path(root, name) for name in names if not name.startswith("."))
    return sorted(files)


def put_back(path: Path) -> Path | None:
    """The folder that was moved aside, back in its place, where its writer was killed before another one stood there.

    Args:
        path: A hidden folder.
    """
    place = belongs_at(path.name)
    final = path.with_name(place or path.name)
    try:
        if place is None or not is_aside(path.name) or os.path.lexists(final) or not abandoned(path):
            return None
        path.rename(final)
    except OSError:
        return None
    return final


def demolish(path: Path) -> None:
    """Delete a file or a folder, whatever rights whoever made it gave to what is in it, and however deep that lies."""
    if not _is_folder(path):
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    number = 0
    while entries := [*path.iterdir()]:
        for entry in entries:
            if not _is_folder(entry):
                entry.unlink()
                continue
            entry.chmod(0o700)
            for inner in [*entry.iterdir()]:
                if _is_folder(inner):  # up here its path is short
                    inner.chmod(0o700)
                    while os.path.lexists(place := path / str(number)):
                        number += 1
                    inner.rename(place)
                else:
                    inner.unlink()
            entry.rmdir()
    path.rmdir()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not (is_folder and error.errno in _UNSYNCED):
            error.filename = error.filename or str(path)
            raise


def make_home(folder: Path) -> None:
    """Make a folder and those around it, so that they outlast a loss of power."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name that leads to nothing when the block ends, however it ends; errors name what was to be written."""
    temporary = temporary_name(path)
    try:
        yield temporary
    except OSError as error:
        named = str(error.filename or "")
        if named.startswith(str(temporary)):
            error.filename = f"{path}{named.removeprefix(str(temporary))}"
        elif not named and error.errno in _OF_DISKS:
            error.filename = str(path)
        raise
    finally:
        _remove(temporary)


def _settle(folder: Path) -> None:
    """Sync all that a folder holds, and give it the rights that the user's umask has for it, whatever wrote it."""
    rights = folder.stat().st_mode
    for root, _, names in os.walk(folder, topdown=False):
        for path in (Path(root, name) for name in names):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                _give(path, rights if mode & stat.S_IXUSR else rights & ~0o111)
                sync(path)
        _give(Path(root), rights)
        sync(Path(root))


def _give(path: Path, rights: int) -> None:
    mode = path.stat().st_mode
    if (mode ^ rights) & 0o777:
        path.chmod(stat.S_IMODE(mode & ~0o777 | rights & 0o777))


def _take_place(new: Path, final: Path, stays: Callable[[], bool]) -> None:
    """Put a folder where it belongs, unless what is there stays; that is then at the new one's name, or nowhere."""
    old = aside(new)
    try:
        while not _renamed(new, final) and not stays() and not _exchanged(new, final):
            _remove(old)
            with suppress(FileNotFoundError):  # somebody else has moved it
                final.rename(old)
    finally:
        if os.path.lexists(old):
            _tidy(old, final)


def _renamed(new: Path, final: Path) -> bool:
    """Whether nothing stood in the way."""
    try:
        new.rename(final)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        return False
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders have changed places in one step, which not every file system can."""
    rename = _libc_rename()
    return rename is not None and (
        rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
    )


@cache
def _libc_rename() -> Any:
    """``renameat2`` of Linux; None elsewhere."""
    import ctypes

    with suppress(OSError, TypeError):
        return getattr(ctypes.CDLL(None), "renameat2", None)
    return None


def _tidy(path: Path, place: Path) -> None:
    """Take a temporary away, or put back what stood in its place, where nothing does."""
    if is_aside(path.name) and not os.path.lexists(place):
        path.rename(place)
    else:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
