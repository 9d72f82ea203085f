"""A zero-shot classification set in the webdataset layout of CLIP_benchmark.

``classnames.txt`` and ``zeroshot_classification_templates.txt`` (with ``{c}``) beside ``test/``, which holds
``nshards.txt`` and ``0.tar``, ``1.tar``, ...; each sample is an image and a ``.cls`` with the class number.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from salmu_core.benchmark.tars import MOST_FILES, TarImages, read_shards
from salmu_core.contract.zeroshot import ZeroShot
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.notes import note
from salmu_core.disk.reading import SMALL, read_text
from salmu_core.errors import BenchmarkError, FileError


def zeroshot_parts(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...], list[Path]]:
    """Class names, templates and shards of a set; the shards are there, and their samples not looked at.

    Raises:
        BenchmarkError: A file is missing or damaged.
    """
    class_names = _lines(folder / "classnames.txt")
    templates = _lines(folder / "zeroshot_classification_templates.txt")
    if not all("{c}" in template for template in templates):
        raise BenchmarkError(f"{folder}: every template needs '{{c}}' where the class name goes")
    count = _lines(folder / "test" / "nshards.txt")[0]
    if not (count.isascii() and count.isdigit() and len(count) < 10 and 0 < int(count) <= MOST_FILES):
        raise BenchmarkError(
            f"{folder / 'test' / 'nshards.txt'} must hold the number of shards, from 1 to {MOST_FILES:,}"
        )
    paths = [folder / "test" / f"{i}.tar" for i in range(int(count))]
    if absent := [path for path in paths if not path.is_file()]:
        raise BenchmarkError(f"{absent[0]} is missing; nshards.txt speaks of {count} shards")
    return class_names, templates, paths


def read_zeroshot(folder: Path) -> ZeroShot:
    """Read the whole set, every shard of it.

    Raises:
        BenchmarkError: A file is missing or damaged, or a sample lacks its image or a valid class.
    """
    class_names, templates, paths = zeroshot_parts(folder)
    shards = read_shards(paths)
    labels = []
    for shard in shards:
        for key, text, (_, size) in zip(shard.keys, shard.labels, shard.places, strict=True):
            if not size or text is None or not text.isdecimal() or len(text) > 9 or int(text) >= len(class_names):
                raise BenchmarkError(f"sample {key!r} in {shard.path} lacks its image or a valid class")
            labels.append(int(text))
    if not labels:
        raise BenchmarkError(f"{folder} holds no samples")
    shown = set(labels)
    if empty := [name for number, name in enumerate(class_names) if number not in shown]:
        note(f"{len(empty):,} of {len(class_names):,} classes of {folder} have no sample, {empty[0]!r} among them.")
    if twice := [name for name, times in Counter(class_names).items() if times > 1]:
        note(f"{len(twice):,} class names stand twice in {folder}, {twice[0]!r} among them: no model tells them apart.")
    keys = tuple(key for shard in shards for key in shard.keys)
    content = hash_json([shard.sha256 for shard in shards])
    return ZeroShot(class_names, templates, np.array(labels), keys, TarImages(shards), content)


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = tuple(line.strip() for line in read_text(path, SMALL).splitlines() if line.strip())
    except FileError as error:
        raise BenchmarkError(str(error)) from error
    if not lines:
        raise BenchmarkError(f"{path} is empty")
    return lines
