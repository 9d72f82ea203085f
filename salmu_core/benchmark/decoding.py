"""Encoded images -> pixels as a model takes them, by as many processes as are worth it."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from salmu_core.benchmark.rows import Rows
from salmu_core.clip.model import Clip
from salmu_core.clip.pictures import opened
from salmu_core.errors import BenchmarkError, PictureError
from salmu_core.machine import end_with_parent, usable_cores

#: Rows decoded at a time by one process, and the fewest that are worth starting several for.
SPAN, MANY = 256, 2048
#: Processes that decode, at most, and the memory there should be for each: most of it is the libraries'.
MAX_PROCESSES, MEMORY_EACH = 16, 2**30

Transform = Callable[[Image.Image], np.ndarray]
#: Number of the first of some rows that were decoded, the CRC-32 of each, and the numbers of those of one colour.
Done = tuple[int, list[int], list[int]]
#: Decodes rows from one number up to another.
Job = Callable[[tuple[int, int]], Done]


def transform_of(clip: Clip) -> Transform:
    """What turns an image into uint8 ``[3, h, w]``, without the model, so that other processes can have it."""
    return dataclasses.replace(clip, model=None, tokenizer=None).to_pixels


def decode(rows: Rows, transform: Transform, i: int) -> np.ndarray:
    """One image, uint8 ``[3, h, w]``.

    Raises:
        PictureError: It can't be decoded.
        BenchmarkError: Its file can't be read.
    """
    try:
        with opened(rows.encoded[i]) as image:
            return transform(image)
    except (PictureError, OSError) as error:
        kind = PictureError if isinstance(error, PictureError) else BenchmarkError
        raise kind(f"image {rows.file_names[i]!r} of split {rows.name} can't be read: {error}") from error


def decode_into(path: Path, start: int, rows: Rows, transform: Transform, shape: tuple[int, ...]) -> Iterator[Done]:
    """Decode all rows into a file, one after another; yields what is done.

    Args:
        start: Where in it the first image begins.
        transform: What makes pixels of an image.
        shape: Of an image's pixels.

    Raises:
        BenchmarkError: An image can't be read, or has another shape.
        OSError: The file can't be written.
    """
    # Captions are no business of those who decode, and what was read here need not be held.
    light = dataclasses.replace(rows, captions=(), identity_ids=(), encoded=copy.copy(rows.encoded))
    yield from _each(partial(_decode_span, light, transform, path, start, shape), _spans(rows))


def _spans(rows: Rows) -> list[tuple[int, int]]:
    """All rows in pieces, none of which lies in two row groups of a file."""
    groups = getattr(rows.encoded, "groups", ((0, len(rows)),))
    return [(i, min(i + SPAN, end)) for start, end in groups for i in range(start, end, SPAN)]


def _each(job: Job, spans: Sequence[tuple[int, int]]) -> Iterator[Done]:
    """Do all spans, in this process if they are few, else in one for each core."""
    room = int(psutil.virtual_memory().available // MEMORY_EACH)
    processes = min(usable_cores(), len(spans), room, MAX_PROCESSES)
    if spans[-1][1] < MANY or processes < 2:
        yield from map(job, spans)
        return
    context = multiprocessing.get_context("spawn")  # threads and locks of this process stay here
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(job,)) as pool:
        waiting: set[Future[Done]] = {pool.submit(_do, span) for span in spans}
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
    end_with_parent()


def _do(span: tuple[int, int]) -> Done:
    assert _Worker.job is not None
    return _Worker.job(span)


def _decode_span(
    rows: Rows, transform: Transform, path: Path, start: int, shape: tuple[int, ...], span: tuple[int, int]
) -> Done:
    """Decode some rows into their place in the file."""
    images = np.stack([_same(decode(rows, transform, i), shape, rows.file_names[i]) for i in range(*span)])
    with path.open("r+b") as file:
        file.seek(start + span[0] * int(np.prod(shape)))
        file.write(images.tobytes())  # all of it, or an error
    plain = [span[0] + i for i, image in enumerate(images) if (image == image[:, :1, :1]).all()]
    return span[0], [zlib.crc32(image) for image in images], plain


def _same(image: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if image.shape != shape:
        raise BenchmarkError(f"image {name!r} comes out of the model's preprocessing as {image.shape}, others {shape}")
    return image
