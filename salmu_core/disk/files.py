"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salmu_core.disk.owners import temporary_name
from salmu_core.errors import UsageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    Raises:
        UsageError: At ``path`` is something that no file may replace, such as a device or a pipe.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is there already and is no file: choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
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
