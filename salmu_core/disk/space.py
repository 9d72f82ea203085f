"""The cache folder as a whole: what kinds of things lie there, how large they are and when they were used last."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from salmu_core.disk.notes import note
from salmu_core.disk.owners import abandoned
from salmu_core.errors import UsageError
from salmu_core.machine import cache_folder

LIMIT = "SALMU_CACHE_LIMIT"
BENCHMARKS, PIXELS, EMBEDDINGS, TOKENS = "benchmarks", "pixels", "embeddings", "tokens"
GRADIENTS = "gradients"
SHARDS, COUNTS, STAMPS, FIGURES = "shards", "counts", "stamps", "figures"


class Kind(NamedTuple):
    """One kind of things in the cache.

    Attributes:
        purpose: What they are for.
        pattern: Where they lie below the folder of that name.
        evicted: Whether a size limit may take them: what is made again in minutes at most.
    """

    purpose: str
    pattern: str = "*"
    evicted: bool = True


KINDS = {
    BENCHMARKS: Kind("worlds that were built, and where releases lie", "*/*/*world-*", evicted=False),
    PIXELS: Kind("images as a model takes them", "*/*"),
    EMBEDDINGS: Kind("the original's embeddings of forget and retain pairs", "*/*"),
    TOKENS: Kind("captions as a tokenizer has them"),
    GRADIENTS: Kind("gradients of losses over forget and retain pairs", "*/*"),
    SHARDS: Kind("indexes of tar files"),
    COUNTS: Kind("rows and people of shards"),
    STAMPS: Kind("hashes of files that did not change since"),
    FIGURES: Kind("figures of runs, by person"),
    "catalogue": Kind("what plugins declare"),
    "references": Kind("images that reference pairs are trained on", evicted=False),
    "variants": Kind("benchmarks of the laboratory", evicted=False),
}


class Thing(NamedTuple):
    """One thing in the cache.

    Attributes:
        kind: Its kind; empty for what nobody here has put there.
        path: A file or a folder.
        size: In bytes.
        used: When it was used last, in seconds since 1970; 0 for what a process that was killed has left.
    """

    kind: str
    path: Path
    size: int
    used: float


#: What this process has in use.
_IN_USE: set[Path] = set()


def used(path: Path) -> None:
    """Note that a thing is in use, here and, where the disk may be written, for all."""
    _IN_USE.add(path)
    with suppress(OSError):
        os.utime(path)


def unusable(error: Exception) -> None:
    """Say once in a process that the cache can't be read or written; everything goes on without it."""
    folder = str(cache_folder())
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    note(
        f"The cache folder {folder!r} can't be used ({repr(reason)[1:-1]}): what it would hold is computed each time, "
        "with the same results. Make room there, or set SALMU_CACHE to another folder.",
        about=folder,
    )


def things() -> list[Thing]:
    """All that lies in the cache, but for locks and what a living process is writing."""
    root = cache_folder()
    found = [
        thing
        for name, kind in KINDS.items()
        for path in _matches(root if name == BENCHMARKS else root / name, kind.pattern)
        if (thing := _thing(name, path)) is not None
    ]
    homes = {path.relative_to(root).parts[0] for _, path, *_ in found} | KINDS.keys()
    with suppress(OSError):
        others = [path for path in root.iterdir() if path.name not in homes and not path.name.startswith(".")]
        found += [thing for path in others if (thing := _thing("", path)) is not None and thing.size]
    return found


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    with suppress(OSError):  # a folder may be deleted while it is looked through
        yield from folder.glob(pattern)


def _thing(kind: str, path: Path) -> Thing | None:
    unfinished = path.name.startswith(".")
    try:
        if unfinished and (path.suffix == ".lock" or not abandoned(path)):
            return None
        # A clock that was wrong may have set any time.
        return Thing(kind, path, _size(path), 0.0 if unfinished else min(max(0.0, path.lstat().st_mtime), time.time()))
    except OSError:  # gone meanwhile
        return None


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)


def remove(found: Collection[Thing]) -> Iterator[Thing]:
    """Delete things; yields those that are gone. What others have mapped stays theirs until they let go of it."""
    for thing in found:
        with suppress(OSError):
            if thing.path.is_symlink() or not thing.path.is_dir():
                thing.path.unlink()
            else:
                shutil.rmtree(thing.path)
            yield thing


def size_of(text: str, given: str) -> int:
    """Bytes of a size such as ``50GB``, ``1.5 TB``, ``800MiB`` or ``5000``.

    Args:
        given: Where it stands, for messages.

    Raises:
        UsageError: It is none.
    """
    parts = re.fullmatch(
        r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*(?:([kmgtp])(i?))?b?\s*", text, re.ASCII | re.IGNORECASE
    )
    if parts is None:
        raise UsageError(f"{given} {text!r} is no size: write it as 50GB or 800MB.")
    count, unit, binary = parts.groups()
    power = " kmgtp".index((unit or " ").lower())
    return int(Decimal(count) * (1024 if binary else 1000) ** power)


def size_limit() -> int | None:
    """Bytes that the cache may hold, as ``$SALMU_CACHE_LIMIT`` says; None for no limit.

    Raises:
        UsageError: It is no size.
    """
    text = os.environ.get(LIMIT, "")
    return size_of(text, LIMIT) if text.strip() else None


def keep_within(limit: int) -> list[Thing]:
    """Delete what was not used longest until the cache holds no more than a limit; returns what went.

    What this process has in use stays, and so do built benchmarks, which are costly to make.
    """
    held = things()
    excess, gone = sum(thing.size for thing in held) - limit, []
    spare = [thing for thing in held if thing.kind and KINDS[thing.kind].evicted and thing.path not in _IN_USE]
    for thing in sorted(spare, key=lambda thing: thing.used):
        if excess <= 0:
            break
        for removed in remove([thing]):
            excess -= removed.size
            gone.append(removed)
    return gone
