"""Images as a model takes them, decoded once for each content and preprocessing into a memory-mapped file.

A full benchmark is 76,794 images, 11.6 GB as uint8 at 224 pixels: they never lie in memory at once. What has been read
is given back to the operating system, which keeps it where it has room.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import mmap
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from salmu_core.benchmark.rows import Rows
from salmu_core.clip.model import Clip
from salmu_core.contract.progress import Progress
from salmu_core.disk.files import replacing
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import BenchmarkError
from salmu_core.machine import cache_folder, usable_cores

#: Libraries that decode and resize.
LIBRARIES = ("pillow", "torchvision", "open-clip-torch")
#: Rows decoded at a time by one process, and the fewest that are worth starting several for.
SPAN, MANY = 256, 2048
#: Processes that decode, at most, and the memory there should be for each: most of it is the libraries'.
MAX_PROCESSES, MEMORY_EACH = 16, 2**30
#: Bytes of the mapped file that a process looks at before it gives them back.
HELD = 2**28

Transform = Callable[[Image.Image], np.ndarray]
#: Decodes rows from one number up to another; returns how many.
Job = Callable[[tuple[int, int]], int]


def preprocessing(clip: Clip) -> str:
    """Two models for which this is equal see the same pixels."""
    return hash_json([clip.config.get("preprocess_cfg"), clip.image_size, [version(name) for name in LIBRARIES]])


def transform_of(clip: Clip) -> Transform:
    """What turns an image into uint8 ``[3, h, w]``, without the model, so that other processes can have it."""
    return dataclasses.replace(clip, model=None, tokenizer=None).to_pixels


class Pixels:
    """Images of some rows as uint8 ``[n, 3, h, w]``, in a file.

    Args:
        rows: The rows.
        clip: A model whose preprocessing is used.
        progress: Told how far decoding is, the first time.

    Raises:
        BenchmarkError: An image can't be read.
    """

    def __init__(self, rows: Rows, clip: Clip, progress: Progress | None = None) -> None:
        folder = cache_folder() / "pixels" / hash_json([rows.content, preprocessing(clip)])[:24]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{rows.name}.npy"
        with FileLock(folder / f".{rows.name}.lock"):
            pixels = _opened(path, len(rows))
            if pixels is None:
                _decode_all(path, rows, transform_of(clip), progress or _silent)
                pixels = _opened(path, len(rows))
        assert pixels is not None, path
        self._pixels = pixels
        self._looked_at = 0

    def __call__(self, index: np.ndarray) -> Tensor:
        """The images at ``index`` ``[b]`` as a uint8 tensor ``[b, 3, h, w]``."""
        images = torch.from_numpy(np.asarray(self._pixels[index]))
        self._looked_at += images.nbytes
        if self._looked_at > HELD and hasattr(mmap, "MADV_DONTNEED"):
            self._pixels._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
            self._looked_at = 0
        return images


class DirectPixels:
    """Images that are decoded whenever they are drawn: those of a stream, of which each is drawn about once.

    Args:
        rows: The rows.
        clip: A model whose preprocessing is used.
    """

    def __init__(self, rows: Rows, clip: Clip) -> None:
        self._rows = rows
        self._decode = partial(decode, rows, transform_of(clip))
        self._threads = ThreadPoolExecutor(usable_cores())  # PIL works outside Python's lock

    def __call__(self, index: np.ndarray) -> Tensor:
        """The images at ``index`` ``[b]`` as a uint8 tensor ``[b, 3, h, w]``."""
        return torch.from_numpy(np.stack(list(self._threads.map(self._decode, index.tolist()))))


def decode(rows: Rows, transform: Transform, i: int) -> np.ndarray:
    """One image, uint8 ``[3, h, w]``.

    Raises:
        BenchmarkError: It can't be read.
    """
    try:
        encoded = rows.encoded[i]
        if encoded is None:
            raise ValueError("the row has none")
        with Image.open(io.BytesIO(encoded)) as image:
            return transform(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BenchmarkError(f"image {rows.file_names[i]!r} of split {rows.name} can't be read: {error}") from error


def _opened(path: Path, rows: int) -> np.memmap | None:
    """The file of an earlier time; None if there is none, or another one."""
    try:
        pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return pixels if len(pixels) == rows else None


def _decode_all(path: Path, rows: Rows, transform: Transform, progress: Progress) -> None:
    for orphan in path.parent.glob(f".{path.name}.*"):  # of a process that was killed: the lock is ours
        orphan.unlink(missing_ok=True)
    first = decode(rows, transform, 0)
    _check_room(path.parent, len(rows) * first.nbytes, rows.name)
    stage = f"decoding {len(rows):,} images of {rows.name}"
    with replacing(path) as temporary:
        mapped = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(rows), *first.shape))
        start = mapped.offset
        del mapped
        # Captions are no business of those who decode, and what was read here need not be held.
        light = dataclasses.replace(rows, captions=(), identity_ids=(), encoded=copy.copy(rows.encoded))
        job = partial(_decode_span, light, transform, temporary, start, first.shape)
        done = 0
        for count in _each(job, _spans(rows)):
            done += count
            progress(stage, done / len(rows))


def _spans(rows: Rows) -> list[tuple[int, int]]:
    """All rows in pieces, none of which lies in two row groups of a file."""
    groups = getattr(rows.encoded, "groups", ((0, len(rows)),))
    return [(i, min(i + SPAN, end)) for start, end in groups for i in range(start, end, SPAN)]


def _check_room(folder: Path, size: int, split: str) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise BenchmarkError(
            f"the decoded images of {split} take {size / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB: make room, "
            "or set SALMU_CACHE to a folder on a larger disk"
        )


def _each(job: Job, spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Do all spans, in this process if they are few, else in one for each core."""
    room = int(psutil.virtual_memory().available // MEMORY_EACH)
    processes = min(usable_cores(), len(spans), room, MAX_PROCESSES)
    if spans[-1][1] < MANY or processes < 2:
        yield from map(job, spans)
        return
    context = multiprocessing.get_context("spawn")  # threads and locks of this process stay here
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(job,)) as pool:
        waiting: set[Future[int]] = {pool.submit(_do, span) for span in spans}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        except BrokenProcessPool as error:
            raise BenchmarkError(
                "a process that decoded images was ended, perhaps for want of memory: run again with less beside it"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Worker:
    """What a process that decodes was given once, so that a file it reads stays open from piece to piece."""

    job: Job | None = None


def _begin(job: Job) -> None:
    """A core is a process's: its libraries start no threads of their own. And it ends with its parent."""
    torch.set_num_threads(1)
    _Worker.job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(span: tuple[int, int]) -> int:
    assert _Worker.job is not None
    return _Worker.job(span)


def _decode_span(
    rows: Rows, transform: Transform, path: Path, start: int, shape: tuple[int, ...], span: tuple[int, int]
) -> int:
    """Decode some rows into their place in the file; returns how many."""
    images = np.stack([_same(decode(rows, transform, i), shape, rows.file_names[i]) for i in range(*span)])
    with path.open("r+b") as file:
        file.seek(start + span[0] * int(np.prod(shape)))
        file.write(images.tobytes())  # all of it, or an error
    return len(images)


def _same(image: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if image.shape != shape:
        raise BenchmarkError(f"image {name!r} comes out of the model's preprocessing as {image.shape}, others {shape}")
    return image


def _silent(_stage: str, _fraction: float) -> None: ...
