"""Tar files of samples in the webdataset layout: indexed once, then read at any place without unpacking.

A sample is the members that share a name up to its first dot (``000123.jpg`` and ``000123.txt``). The index of a shard
(names, places, captions, SHA-256) is kept in the cache folder; images stay where they are until somebody looks.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from braceexpand import braceexpand

from salmu_core.clip.pictures import MOST_BYTES
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.hashing import hash_file
from salmu_core.disk.space import SHARDS
from salmu_core.disk.stamps import Stamp
from salmu_core.errors import BenchmarkError, UsageError

IMAGE_KEYS = ("webp", "png", "jpg", "jpeg")
#: Bytes of zeros that a whole tar file ends with; readers take one that was cut between two members for a shorter one.
TAIL = 1024
#: Files a process holds open, those that patterns may name, and bytes of a text that is read.
OPEN_FILES, MOST_FILES, MOST_TEXT = 64, 100_000, 2**16
_FORMAT = "4"


@dataclass(frozen=True)
class Shard:
    """What one tar file holds, sample by sample, in its order.

    Attributes:
        sha256: Of its content.
        keys: Name of each sample.
        captions: Its ``.txt``; None where it has none, or one of more than `MOST_TEXT` bytes.
        labels: Its ``.cls``; likewise.
        places: Offset and size of its image in bytes, int64 ``[n, 2]``; size 0 where it has none.
    """

    path: Path
    sha256: str
    keys: tuple[str, ...]
    captions: tuple[str | None, ...] = field(repr=False)
    labels: tuple[str | None, ...] = field(repr=False)
    places: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def whole(self) -> np.ndarray:
        """Numbers of the samples that have both an image and a caption that says something, int64."""
        return np.flatnonzero((self.places[:, 1] > 0) & np.array([bool(text) for text in self.captions], dtype=bool))


def expand(pattern: str) -> list[Path]:
    """The files a pattern such as ``shards/{00000..00099}.tar`` names, in order; all must exist.

    Raises:
        UsageError: Its braces make no sense.
        BenchmarkError: A file it names is not there.
    """
    if (number := _expansions(pattern)) > MOST_FILES:
        raise UsageError(f"{pattern!r:.200} stands for {number:,} files or so; at most {MOST_FILES:,} are read.")
    try:
        paths = [Path(path).expanduser().resolve() for path in braceexpand(pattern)]
    except ValueError as error:
        raise UsageError(f"{pattern}: {error}. Patterns look like 'shards/{{00000..00099}}.tar'.") from error
    if absent := [path for path in paths if not path.is_file()]:
        raise BenchmarkError(f"{pattern}: {absent[0]} is missing ({len(absent)} of {len(paths)} files are)")
    return paths


def _expansions(pattern: str) -> int:
    """How many texts a pattern of braces stands for, at least; none is made."""
    number = 1
    while (innermost := re.search(r"\{([^{}]*)\}", pattern)) is not None:
        ends = re.fullmatch(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?", innermost[1][:200])
        if ends is not None:
            number *= abs(int(ends[2]) - int(ends[1])) // max(1, abs(int(ends[3] or 1))) + 1
        else:
            number *= innermost[1].count(",") + 1
        pattern = pattern[: innermost.start()] + pattern[innermost.end() :]
    return number


def read_shard(path: Path) -> Shard:
    """Index a tar file, or read the index of an earlier time if nothing tells that the file has changed.

    Raises:
        BenchmarkError: It is no tar file, or cut off, or has a sample twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    now, stamp = time.time_ns(), Stamp.of(path)
    key = [_FORMAT, str(path.resolve()), *stamp]
    if (kept := recall(SHARDS, key)) is not None:
        table = pq.read_table(pa.BufferReader(kept))
        places = np.stack([table["offset"].to_numpy(), table["size"].to_numpy()], axis=1)
        keys, captions, labels = (tuple(table[name].to_pylist()) for name in ("key", "captions", "labels"))
        return Shard(path, table.schema.metadata[b"sha256"].decode(), keys, captions, labels, places)
    shard = _index(path)
    table = pa.table(
        {"key": shard.keys, "offset": shard.places[:, 0], "size": shard.places[:, 1]}
        | {name: pa.array(getattr(shard, name), pa.string()) for name in ("captions", "labels")}
    )
    if not stamp.settled(now):  # it could change once more and look the same
        return shard
    written = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"sha256": shard.sha256}), written)
    remember(SHARDS, key, written.getvalue())
    return shard


def _index(path: Path) -> Shard:
    keys: dict[str, None] = {}
    images: dict[str, tuple[int, int]] = {}
    small: dict[str, dict[str, str]] = {"txt": {}, "cls": {}}
    try:
        with path.open("rb") as file:
            file.seek(-min(TAIL, path.stat().st_size), os.SEEK_END)
            if len(tail := file.read()) < TAIL or tail.strip(b"\0"):
                raise BenchmarkError(f"{path} is cut off: a tar file ends with {TAIL:,} zero bytes")
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile() or member.issparse():
                    continue
                folder, slash, name = member.name.rpartition("/")
                stem, _, extension = name.partition(".")
                key, extension = f"{folder}{slash}{stem}", extension.lower()
                keys[key] = None
                if key in (images if extension in IMAGE_KEYS else small.get(extension, ())):
                    raise BenchmarkError(f"{path} has {member.name!r} of a sample that has one already")
                if extension in IMAGE_KEYS:
                    images[key] = (member.offset_data, member.size)
                elif extension in small and member.size <= MOST_TEXT:
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    small[extension][key] = content.read().decode("utf-8", "replace").strip()
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise BenchmarkError(f"{path} can't be read as a tar file: {error}") from error
    places = np.array([images.get(key, (0, 0)) for key in keys], dtype=np.int64).reshape(-1, 2)
    captions, labels = (tuple(small[kind].get(key) for key in keys) for kind in ("txt", "cls"))
    return Shard(path, hash_file(path), tuple(keys), captions, labels, places)


class TarImages(Sequence[bytes]):
    """Encoded images of samples of some shards, each read from its tar file when it is asked for.

    Args:
        members: Numbers of the samples of each shard that are meant; by default all.
    """

    def __init__(self, shards: Sequence[Shard], members: Sequence[np.ndarray] | None = None) -> None:
        self.files = tuple(shard.path for shard in shards)
        chosen = [np.arange(len(shard)) for shard in shards] if members is None else members
        self._file = np.repeat(np.arange(len(shards)), [len(numbers) for numbers in chosen])
        places = [shard.places[numbers] for shard, numbers in zip(shards, chosen, strict=True)]
        self._places = np.concatenate(places) if places else np.empty((0, 2), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, i: Any) -> Any:
        path, (offset, size) = self.files[self._file[i]], self._places[i]
        file = _opened(path, os.getpid())  # held until it is read, though others may crowd it out of the cache
        size = min(int(size), MOST_BYTES + 1)  # more is refused by whoever decodes
        image = os.pread(file.descriptor, size, int(offset))
        if len(image) < size:
            raise OSError(f"{path} is shorter than it was")
        return image


class _File:
    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self.descriptor)


@lru_cache(maxsize=OPEN_FILES)
def _opened(path: Path, _process: int) -> _File:
    return _File(path)


def read_shards(paths: Sequence[Path], progress: Callable[[str, float], None] | None = None) -> list[Shard]:
    """Index several tar files, telling how far it is."""
    shards = []
    for number, path in enumerate(paths):
        if progress is not None:
            progress(f"indexing {path.name}", number / len(paths))
        shards.append(read_shard(path))
    return shards
