"""The pairs a model is trained on: tar shards and folders in the released layout, read pair by pair."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from salmu_core.benchmark.rows import Rows, read_rows
from salmu_core.benchmark.tars import TarImages, expand, read_shard
from salmu_core.contract import layout
from salmu_core.disk.files import replacing
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import BenchmarkError, UsageError
from salmu_core.machine import cache_folder

#: A split with all sensitive pairs, for data that were never cut into forget set and holdouts.
SENSITIVE = "sensitive"
SENSITIVE_SPLITS = (layout.FORGET, layout.HOLDOUT_ASSOCIATION, layout.HOLDOUT_IDENTITY)


@dataclass(frozen=True)
class Part:
    """A tar file, or one split of a folder in the released layout.

    Attributes:
        path: The file or folder.
        split: The split; empty for a tar file.
        sha256: Of the content.
        pairs: Samples that have both an image and a caption.
        left_out: Samples that have not.
    """

    path: Path
    split: str
    sha256: str
    pairs: int
    left_out: int = 0

    @property
    def name(self) -> str:
        return f"{self.path.name}/{self.split}" if self.split else self.path.name


@dataclass(frozen=True)
class _Open:
    names: Sequence[str]
    captions: Sequence[str]
    images: Sequence[bytes]


class Pairs:
    """One set of pairs, of which few parts are open at a time.

    Args:
        name: What the set is called: ``retain`` or ``sensitive``.
        parts: Its parts.
        held: Pairs whose captions may be in memory at a time; at least two parts' are.
    """

    def __init__(self, name: str, parts: Sequence[Part], held: int) -> None:
        self.name, self.parts = name, tuple(parts)
        self.sizes = [part.pairs for part in parts]
        self._limit = held
        self._open: OrderedDict[int, _Open] = OrderedDict()

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": OrderedDict()}

    @property
    def content(self) -> str:
        """SHA-256 over the parts' contents, in their order."""
        return hash_json([[part.sha256, part.pairs] for part in self.parts])

    def read(self, part: int, place: int) -> tuple[str, bytes, str]:
        """Name, encoded image and caption of one pair.

        Raises:
            BenchmarkError: The part is not what it was when the training began.
        """
        if part not in self._open:
            self._open[part] = _open(self.parts[part])
            while len(self._open) > 2 and sum(self.sizes[i] for i in self._open) > self._limit:
                self._open.popitem(last=False)
        self._open.move_to_end(part)
        opened = self._open[part]
        return opened.names[place], opened.images[place], opened.captions[place]


def find_retain(named: Sequence[str]) -> list[tuple[Path, str]]:
    """Path and split of every part that ``--retain`` names: patterns of tar files, and folders of either kind.

    Raises:
        BenchmarkError: A file is not there.
        UsageError: A folder holds neither, or a part is named twice.
    """
    parts: list[tuple[Path, str]] = []
    for text in named:
        folder = Path(text).expanduser()
        if not folder.is_dir():
            parts += [(path, "") for path in expand(text)]
        elif any((folder / "data").glob(f"{layout.RETAIN_SYNTH}-*.parquet")):
            parts.append((folder.resolve(), layout.RETAIN_SYNTH))
        elif tars := sorted(folder.resolve().glob("*.tar")):
            parts += [(path, "") for path in tars]
        else:
            raise UsageError(
                f"{text} holds no retain pairs: neither *.tar files nor data/{layout.RETAIN_SYNTH}-*.parquet."
            )
    for (path, _), times in Counter(parts).items():
        if times > 1:
            raise UsageError(f"--retain names {path} {times} times.")
    return parts


def find_sensitive(folder: Path) -> list[tuple[Path, str]]:
    """Path and splits of the sensitive pairs of a folder in the released layout.

    Raises:
        UsageError: There are none.
    """
    folder = folder.expanduser().resolve()
    if any((folder / "data").glob(f"{SENSITIVE}-*.parquet")):
        return [(folder, SENSITIVE)]
    lacking = [split for split in SENSITIVE_SPLITS if not any((folder / "data").glob(f"{split}-*.parquet"))]
    if lacking:
        raise UsageError(
            f"{folder} holds no sensitive pairs: neither data/{SENSITIVE}-*.parquet, nor the splits "
            f"{', '.join(SENSITIVE_SPLITS)} ({lacking[0]} is missing)."
        )
    return [(folder, split) for split in SENSITIVE_SPLITS]


def measure(path: Path, split: str, progress: Callable[[int, int], None] | None = None) -> Part:
    """Look through one part: how many pairs it has, and the hash of its content.

    Raises:
        BenchmarkError: It can't be read.
    """
    if not split:
        shard = read_shard(path)
        return Part(path, "", shard.sha256, len(shard.whole), len(shard) - len(shard.whole))
    rows = read_rows(path, split)
    _flat(rows, progress)
    return Part(path, split, rows.content, len(rows))


def _open(part: Part) -> _Open:
    if part.split:
        rows = read_rows(part.path, part.split)
        _check(part, rows.content)
        return _Open(rows.file_names, rows.captions, _flat(rows))
    shard = read_shard(part.path)
    _check(part, shard.sha256)
    whole = shard.whole
    captions = [shard.captions[i] or "" for i in whole]
    return _Open([shard.keys[i] for i in whole], captions, TarImages([shard], [whole]))


def _check(part: Part, sha256: str) -> None:
    if sha256 != part.sha256:
        raise BenchmarkError(f"{part.path} has changed since the training began: put back what it was, or start anew.")


class _Flat(Sequence[bytes]):
    """Images that lie end to end in a file."""

    def __init__(self, path: Path, ends: np.ndarray) -> None:
        self._path, self._ends = path, ends
        self._file = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, i: Any) -> Any:
        begin = int(self._ends[i - 1]) if i else 0
        return os.pread(self._file, int(self._ends[i]) - begin, begin)

    def __del__(self) -> None:
        os.close(self._file)


def _flat(rows: Rows, progress: Callable[[int, int], None] | None = None) -> _Flat:
    """The images of rows as a file in the cache: parquet can't hand out a row without hundreds around it."""
    path = cache_folder() / "references" / f"{rows.content[:24]}.bin"
    ends = path.with_suffix(".npy")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (ends.is_file() and path.is_file()):
        with FileLock(path.with_suffix(".lock")):
            if not (ends.is_file() and path.is_file()):
                lengths = []
                with replacing(path) as new, new.open("wb") as file:
                    for number in range(len(rows)):
                        lengths.append(file.write(rows.encoded[number]))
                        if progress is not None and number % 500 == 0:
                            progress(number, len(rows))
                with replacing(ends) as new, new.open("wb") as file:
                    np.save(file, np.cumsum(lengths, dtype=np.int64))
    offsets = np.load(ends)
    if len(offsets) != len(rows) or path.stat().st_size != offsets[-1]:
        raise BenchmarkError(f"{path} is damaged: delete it and {ends.name}; they are made again.")
    return _Flat(path, offsets)
