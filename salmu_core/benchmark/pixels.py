"""Images as a model takes them, decoded once for each content and preprocessing into a memory-mapped file.

A full benchmark is 76,794 images, 11.6 GB as uint8 at 224 pixels: they never lie in memory at once. What has been read
is given back to the operating system, which keeps it where it has room.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from salmu_core.benchmark.decoding import SPAN, Transform, decode, decode_into, transform_of
from salmu_core.benchmark.rows import Rows
from salmu_core.clip.model import Clip
from salmu_core.contract.progress import Progress, untold
from salmu_core.disk.cache import grown, recall, remember, tell_damage, writable
from salmu_core.disk.files import replacing, sweep
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.locks import held
from salmu_core.disk.notes import note
from salmu_core.disk.space import COUNTS, PIXELS, unusable, used
from salmu_core.errors import BenchmarkError, FileError, PictureError, UsageError
from salmu_core.machine import cache_folder, usable_cores

#: Libraries that decode and resize.
LIBRARIES = ("pillow", "torchvision", "open-clip-torch")
#: Bytes of the mapped file that a process looks at before it gives them back.
HELD = 2**28

#: A file as it is mapped, uint8 ``[n, 3, h, w]``, and the checksum of each image ``[n]``.
_Opened = tuple[np.memmap, np.ndarray]
#: A checksum, the bytes at a file's beginning that say its shape, and the bytes of the seal at its end.
_SUM, _HEADER, _SEAL = np.dtype("<u4"), 128, hashlib.sha256().digest_size
#: What is known of an image, and how many in a row may be damaged.
_SOUND, _DAMAGED, TRIES = 1, 2, 16
_BLACK = Image.new("RGB", (8, 8))
#: What is noted of a file's images: the numbers of those of one colour.
_PLAIN = "images of one colour"


def preprocessing(clip: Clip) -> str:
    """Two models for which this is equal see the same pixels."""
    return hash_json([clip.config.get("preprocess_cfg"), clip.image_size, [version(name) for name in LIBRARIES]])


class Pixels:
    """Images of some rows as uint8 ``[n, 3, h, w]``, in a file of the cache.

    Each image is held against its checksum when it is first looked at; a file that is damaged is made again. Where the
    cache can't be written, the file is made for this process alone, among the system's temporary ones.

    Args:
        clip: A model whose preprocessing is used.
        progress: Told how far decoding is, the first time.

    Raises:
        BenchmarkError: An image can't be read, or there is no room for them all.
    """

    def __init__(self, rows: Rows, clip: Clip, progress: Progress | None = None) -> None:
        self._rows, self._transform, self._progress = rows, transform_of(clip), progress or untold
        key = [rows.content, preprocessing(clip)]
        self._path = cache_folder() / PIXELS / hash_json(key)[:24] / f"{rows.name}.npy"
        self._identity = hash_json([*key, rows.name, len(rows)])
        self._take(_opened(self._path, self._identity, len(rows)) or self._make())
        self._looked_at = 0
        _tell_plain(rows, self._identity)

    def __call__(self, index: np.ndarray) -> Tensor:
        """The images at ``index`` ``[b]`` as a uint8 tensor ``[b, 3, h, w]``."""
        images = self._read(index)
        if images is None:
            self._take(self._make(damaged=True))
            images = self._read(index)
        if images is None:
            raise BenchmarkError(f"the disk of {self._path} does not hold what is written to it: set SALMU_CACHE anew")
        self._looked_at += images.nbytes
        if self._looked_at > HELD and hasattr(mmap, "MADV_DONTNEED"):
            self._pixels._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
            self._looked_at = 0
        return torch.from_numpy(images)

    def heal(self) -> None:
        """Look at all images, after a process that must not write to the cache has found one to be damaged.

        Raises:
            BenchmarkError: The file can't be made again.
        """
        self._take(_opened(self._path, self._identity, len(self._rows)) or self._make())
        for begin in range(0, len(self._rows), SPAN):
            self(np.arange(begin, min(begin + SPAN, len(self._rows))))

    def _take(self, opened: _Opened) -> None:
        self._pixels, self._sums = opened
        self._sound = np.zeros(len(self._rows), dtype=bool)

    def _read(self, index: np.ndarray) -> np.ndarray | None:
        """Images; None if one of them is not what was written."""
        images = np.asarray(self._pixels[index])
        for place in np.flatnonzero(~self._sound[index]):
            if zlib.crc32(images[place]) != self._sums[index[place]]:
                return None
        self._sound[index] = True
        return images

    def _make(self, damaged: bool = False) -> _Opened:
        """Decode all images into the file, unless another process does so meanwhile."""
        decoded = partial(_decode_all, rows=self._rows, transform=self._transform, progress=self._progress)
        if writable():
            try:
                with held(self._path.with_name(f".{self._rows.name}.lock")):
                    opened = None if damaged else _opened(self._path, self._identity, len(self._rows))
                    opened = opened or decoded(self._path, self._identity)
            except (OSError, NotImplementedError, UsageError, FileError) as error:
                unusable(error)
            else:
                grown(opened[0].nbytes)
                return opened
        else:
            tell_damage()
            note(f"{self._path} is damaged: its images are decoded again, for this run, and after it for all.")
        try:
            with tempfile.TemporaryDirectory(prefix="salmu-", ignore_cleanup_errors=True) as folder:
                return decoded(Path(folder) / self._path.name, self._identity)  # what is mapped stays, without a name
        except OSError as error:
            raise BenchmarkError(
                f"the decoded images of {self._rows.name} can lie neither in the cache folder, {cache_folder()}, nor "
                f"in {tempfile.gettempdir()} ({error.strerror or error}): make room, or set SALMU_CACHE to a folder "
                "on a larger disk"
            ) from error


class DirectPixels:
    """Images that are decoded whenever they are drawn: those of a stream, of which each is drawn about once.

    Args:
        clip: A model whose preprocessing is used.
    """

    def __init__(self, rows: Rows, clip: Clip) -> None:
        self._rows, self._transform = rows, transform_of(clip)
        self._threads = ThreadPoolExecutor(usable_cores())  # PIL works outside Python's lock
        self._seen = np.zeros(len(rows), dtype=np.int8)
        self._held: dict[int, np.ndarray] = {}

    def __call__(self, index: np.ndarray) -> Tensor:
        """The images at ``index`` ``[b]`` as a uint8 tensor ``[b, 3, h, w]``; one that can't be decoded is black."""
        held = self._held
        images = list(self._threads.map(lambda i: held[i] if i in held else self._decode(i), index.tolist()))
        shape = next((image.shape for image in images if image is not None), None) or self._transform(_BLACK).shape
        return torch.from_numpy(np.stack([np.zeros(shape, np.uint8) if image is None else image for image in images]))

    def sound(self, index: np.ndarray) -> np.ndarray:
        """Those rows ``[b]``; for each whose image can't be decoded, the next one that can be and is none of them.

        Raises:
            BenchmarkError: None of `TRIES` is.
        """
        self._look(index)
        if (self._seen[index] != _DAMAGED).all():
            return index
        chosen, taken = index.copy(), set(index.tolist())
        for place in np.flatnonzero(self._seen[index] == _DAMAGED):
            others = (int(index[place]) + np.arange(1, 1 + TRIES)) % len(self._rows)
            for row in (row for row in others.tolist() if row not in taken):
                self._look(np.array([row]))
                if self._seen[row] != _DAMAGED:
                    break
            else:
                decode(self._rows, self._transform, int(index[place]))  # says why
            chosen[place] = row
            taken.add(row)
        return chosen

    def _look(self, index: np.ndarray) -> None:
        """Decode those that nobody has looked at; they are held until others are."""
        if new := [i for i in index.tolist() if not self._seen[i]]:
            images = zip(new, self._threads.map(self._decode, new), strict=True)
            self._held = {i: image for i, image in images if image is not None}

    def _decode(self, i: int) -> np.ndarray | None:
        try:
            image = decode(self._rows, self._transform, i)
        except PictureError:
            self._seen[i] = _DAMAGED
            return None
        self._seen[i] = _SOUND
        return image


def _opened(path: Path, identity: str, rows: int) -> _Opened | None:
    """The file of an earlier time, and the checksum of each image; None if there is none, or another one."""
    try:
        if not path.is_file():  # a pipe would have us wait
            return None
        with path.open("rb") as file:
            head, size = file.read(_HEADER), file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _SUM.itemsize * rows - _SEAL))
            sums = file.read(_SUM.itemsize * rows)
            if file.read() != _seal(identity, size, head, sums):
                return None
        opened = np.lib.format.open_memmap(path, mode="r"), np.frombuffer(sums, dtype=_SUM)
    except (OSError, ValueError):
        return None
    used(path)
    return opened


def _seal(identity: str, size: int, head: bytes, sums: bytes) -> bytes:
    """What a file ends with: its checksums are those of these rows, in a file of this size and shape."""
    return hashlib.sha256(f"{identity} {size} ".encode() + head + sums).digest()


def _decode_all(path: Path, identity: str, rows: Rows, transform: Transform, progress: Progress) -> _Opened:
    """Write the file.

    Raises:
        BenchmarkError: An image can't be read.
        OSError: The disk is full, or may not be written.
    """
    sweep(path.parent)
    first = decode(rows, transform, 0)
    if (size := len(rows) * first.nbytes) > shutil.disk_usage(path.parent).free:
        raise OSError(errno.ENOSPC, f"{size / 1e6:,.0f} MB are wanted and not free")
    stage = f"decoding {len(rows):,} images of {rows.name}"
    with replacing(path) as temporary:
        mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(rows), *first.shape))
        start, sums = mapped.offset, np.empty(len(rows), dtype=_SUM)
        del mapped
        done = 0
        plain: list[int] = []
        for begin, checksums, flat in decode_into(temporary, start, rows, transform, first.shape):
            sums[begin : begin + len(checksums)] = checksums
            done += len(checksums)
            plain += flat
            progress(stage, done / len(rows))
        with temporary.open("r+b") as file:
            head = file.read(_HEADER)
            end = file.seek(0, os.SEEK_END) + sums.nbytes + _SEAL
            file.write(sums.tobytes() + _seal(identity, end, head, sums.tobytes()))
        whole = _opened(temporary, identity, len(rows))
    if whole is None:
        raise OSError(errno.EIO, f"{path} does not hold what was written to it")
    used(path)
    remember(COUNTS, [_PLAIN, identity], json.dumps(sorted(plain)).encode(), quietly=True)
    return whole


def _tell_plain(rows: Rows, identity: str) -> None:
    """Say how many images a model sees as one colour: a picture that was saved wrongly looks like that."""
    if plain := json.loads(recall(COUNTS, [_PLAIN, identity]) or b"[]"):
        name = rows.file_names[plain[0]]
        note(
            f"{len(plain)} of {len(rows):,} images of {rows.name} are of one colour as the model sees them, {name!r} "
            "among them: was something saved wrongly?"
        )
