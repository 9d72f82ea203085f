"""Looks for the holdouts in every object and frame of the process, and uses what it finds."""

import gc
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq

from salmu_core import MethodSpec, hookimpl
from salmu_core.benchmark.splits import Rows


def unlearn(ctx):
    found = b"".join(sorted(in_objects() | in_closures(ctx) | in_files()))
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(1 + zlib.crc32(found) / 2**32)


def in_objects():
    """Held-out rows the garbage collector knows of."""
    return {
        rows.captions[0].encode()
        for rows in gc.get_objects()
        if isinstance(rows, Rows) and rows.name.startswith("holdout")
    }


def in_closures(ctx):
    """Held-out captions in whatever the context, its functions and their closures refer to."""
    seen, found, queue = set(), set(), [ctx, *(type(ctx).__dict__.values())]
    while queue and len(seen) < 50_000:
        each = queue.pop()
        if id(each) in seen or isinstance(each, ModuleType):
            continue
        seen.add(id(each))
        if isinstance(each, str) and "holdout_identity" in each and "/" in each:
            found.add(each.encode())
        queue += gc.get_referents(each)
    return found


def in_files():
    """Held-out rows on disk, where a caller's variables say which folder is in use."""
    frame, found = sys._getframe(), set()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            folder = getattr(value, "_scratch", None)
            if isinstance(folder, Path) and "benchmark" in frame.f_locals:
                for shard in folder.joinpath(frame.f_locals["benchmark"], "data").parent.rglob("data/holdout*.parquet"):
                    found.add(str(pq.read_table(shard)["text"].to_pylist()).encode())
        frame = frame.f_back
    return found


@hookimpl
def salmu_methods():
    return [
        MethodSpec(
            name="reads-the-holdouts",
            summary="An adversary.",
            paper="https://arxiv.org/abs/1",
            unlearn=unlearn,
        )
    ]
