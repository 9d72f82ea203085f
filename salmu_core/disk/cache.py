"""What can be computed again, kept on disk: an entry for each thing, named after all that it depends on.

An entry is written whole or not at all, and carries a checksum of its key and content, which is looked at whenever it
is read: one that is damaged, cut off or another thing's is as good as none. So it need not outlast a loss of power, and
no lock is needed: who comes second replaces an entry by its like.

What a plugin's process computes is believed by runs of the same plugin and by nobody else: it lies in a folder of its
owner, and is put there by the process that started it.
"""

from __future__ import annotations

import hashlib
import math
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from salmu_core.disk.files import replacing
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.space import EMBEDDINGS, GRADIENTS, keep_within, size_limit, unusable, used
from salmu_core.errors import UsageError
from salmu_core.machine import cache_folder

_MAGIC = b"salmu 1\n"
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size
#: Bytes that are copied at a time.
_PIECE = 1 << 20
#: A limit on the cache's size is looked after whenever this process has written a part of it that is one in so many.
_PARTS = 50


#: In a process's folder of entries: something that it must not write was damaged.
DAMAGED = "damaged"
#: Kinds that are computed while a plugin's code runs.
OWNED = (EMBEDDINGS, GRADIENTS)


class _Written:
    """Bytes that this process has written since the limit was looked after; at first it is looked after at once."""

    bytes: float = float("inf")


class _Own:
    """Whose process this is, and where it leaves what it computes; the core's own puts it where it belongs."""

    owner: str = "core"
    aside: Path | None = None


def work_for(owner: str, aside: Path) -> None:
    """From now on, use an owner's entries only, and leave new ones aside: this process must not write to the cache.

    Args:
        owner: A hash of the plugin's code.
    """
    _Own.owner, _Own.aside = owner, aside


def tell_damage() -> None:
    """Leave word for whoever started this process that something of the cache is to be made again."""
    if _Own.aside is not None:
        with suppress(OSError):
            (_Own.aside / DAMAGED).touch()


def writable() -> bool:
    """Whether this process may write to the cache, as far as that is up to it: a plugin's may not."""
    return _Own.aside is None


def folders_of(owner: str) -> list[Path]:
    """Where an owner's entries lie; made, if the disk takes them."""
    folders = [cache_folder() / kind / owner[:16] for kind in OWNED]
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
    return folders


def take_over(owner: str, aside: Path) -> None:
    """Put what an owner's process has left aside among its entries, whatever else lies there.

    Whether one is what it should be shows whenever it is read. Links are left: they may lead to what the process that
    made them can't read. So are files with holes: they would grow.
    """
    for kind in OWNED:
        folder = aside / kind / owner[:16]
        if any(path.is_symlink() for path in (aside, folder.parent, folder)):
            continue
        for path in sorted(folder.glob("*")):
            found = path.lstat()
            whole = stat.S_ISREG(found.st_mode) and getattr(found, "st_blocks", math.inf) * 512 >= found.st_size
            if re.fullmatch("[0-9a-f]{32}", path.name) and whole:
                with suppress(OSError), path.open("rb") as file:
                    _keep(cache_folder() / kind / owner[:16] / path.name, iter(partial(file.read, _PIECE), b""))


def recall(kind: str, key: Any) -> bytes | None:
    """What was kept under a key; None where nothing is, or it is not whole.

    Args:
        kind: One of `salmu_core.disk.space.KINDS`.
        key: Everything that the content depends on, as JSON.
    """
    path = _path(kind, key)
    try:
        content = memoryview(path.read_bytes()) if path.is_file() else memoryview(b"")
    except (OSError, MemoryError) as error:
        unusable(error)
        return None
    if content[:_HEAD] != _head(kind, key, content[_HEAD:]):
        return None
    used(path)
    return bytes(content[_HEAD:])


def remember(kind: str, key: Any, content: bytes, quietly: bool = False) -> None:
    """Keep something under a key, if the disk takes it; that it does not is said once, unless it is of no moment."""
    path = _path(kind, key)
    if _Own.aside is not None:
        path = _Own.aside / path.relative_to(cache_folder())
    _keep(path, [_head(kind, key, memoryview(content)), content], quietly)


def _keep(path: Path, parts: Iterable[bytes], quietly: bool = False) -> None:
    try:
        with replacing(path, durable=False) as new, new.open("wb") as file:
            file.writelines(parts)
            size = file.tell()
    except (OSError, UsageError) as error:
        if not quietly:
            unusable(error)
        return
    used(path)
    grown(size)


def grown(size: int) -> None:
    """Note that the cache holds so many bytes more, and look after its limit now and then."""
    limit = size_limit() if _Own.aside is None else None
    _Written.bytes += size
    if limit is not None and _Written.bytes > limit / _PARTS:
        _Written.bytes = 0
        keep_within(limit)


def _path(kind: str, key: Any) -> Path:
    return cache_folder() / kind / (_Own.owner[:16] if kind in OWNED else "") / hash_json(key)[:32]


def _head(kind: str, key: Any, content: memoryview) -> bytes:
    digest = hashlib.sha256(hash_json([kind, key]).encode())
    digest.update(content)
    return _MAGIC + digest.digest()
