"""Scratch folders: each attempt at a run that is at work has its own, in one folder of the run.

Where locks hold, one is at work at a time. Where a file system only says that it locks, several may be, and none writes
where another one does.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from salmu_core.disk.files import demolish
from salmu_core.disk.owners import forsaken, signature

#: Seconds after which an attempt on another machine is over if it has given no sign of life, and between two of them.
SILENT, ALIVE = 600, 30
#: Begins the name of what an attempt that is over has handed on.
_KEPT = "kept-"


def attempt_in(home: Path) -> Path:
    """A folder of its own for an attempt of this process, which is not made yet.

    Args:
        home: The run's folder of them.
    """
    return home / signature()


def at_work(scratch: Path) -> bool:
    """Whether an attempt may still write into its folder."""
    try:
        return scratch.is_dir() and not forsaken(scratch, SILENT)
    except OSError:
        return False


def inherit(scratch: Path, name: str) -> None:
    """Bring a folder that earlier attempts left for the next one, from the one that has written last; or nothing.

    What is at work keeps it, and a copy of it is taken: it has files that are written once, whole.

    Args:
        scratch: The folder of the attempt that begins.
        name: The folder in each.
    """
    left = [other / name for other in _others(scratch) if (other / name).is_dir() and not (other / name).is_symlink()]
    for folder in sorted(left, key=_written, reverse=True):
        try:
            if at_work(folder.parent):
                shutil.copytree(folder, scratch / name, True, shutil.ignore_patterns(".*"), _link)
            else:
                folder.rename(scratch / name)
        except OSError:  # somebody else was quicker, or it has just been replaced; shutil's own are of this kind
            with suppress(OSError):
                demolish(scratch / name)
        else:
            return


def hand_on(scratch: Path, name: str) -> None:
    """Leave to the next attempt, at once and wherever it is, what it is to go on from; nothing else stays."""
    with suppress(OSError):
        if (scratch / name).is_dir() and any((scratch / name).iterdir()):
            scratch.rename(scratch.with_name(f"{_KEPT}{secrets.token_hex(4)}"))
        else:
            demolish(scratch)
            scratch.parent.rmdir()


def clear_home(home: Path, but: Path | None = None) -> None:
    """Delete what attempts that are over have left, and the folder if nothing else is in it.

    Args:
        but: The one that begins.
    """
    for path in _entries(home):
        with suppress(OSError):
            if path != but and not at_work(path):
                demolish(path)
    with suppress(OSError):
        home.rmdir()


def _others(scratch: Path) -> Iterator[Path]:
    yield from (path for path in _entries(scratch.parent) if path != scratch)


def _entries(home: Path) -> list[Path]:
    try:
        return sorted(home.iterdir())
    except OSError:
        return []


def _written(folder: Path) -> int:
    """When the newest of what it holds took its place."""
    times = [0]
    with suppress(OSError):
        times += (path.lstat().st_mtime_ns for path in folder.iterdir())
    return max(times)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
