"""A zero-shot classification set in the webdataset layout of CLIP_benchmark.

``classnames.txt`` and ``zeroshot_classification_templates.txt`` (with ``{c}``) beside ``test/``, which holds
``nshards.txt`` and ``0.tar``, ``1.tar``, ...; each sample is an image and a ``.cls`` with the class number.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds

from salmu_core.errors import BenchmarkError

IMAGE_KEYS = ("webp", "png", "jpg", "jpeg")


@dataclass(frozen=True)
class ZeroShot:
    """The set in memory, images still encoded.

    Attributes:
        class_names: Name of each class.
        templates: Prompts with ``{c}`` for the class name.
        labels: Class number of each image ``[n]``.
        keys: Name of each sample.
        encoded: Encoded image bytes.
    """

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    labels: np.ndarray
    keys: tuple[str, ...]
    encoded: tuple[bytes, ...] = field(repr=False)


def read_zeroshot(folder: Path) -> ZeroShot:
    """Read the whole set.

    Raises:
        BenchmarkError: A file is missing or damaged, or a sample lacks its image or a valid class.
    """
    class_names = _lines(folder / "classnames.txt")
    templates = _lines(folder / "zeroshot_classification_templates.txt")
    if not all("{c}" in template for template in templates):
        raise BenchmarkError(f"{folder}: every template needs '{{c}}' where the class name goes")
    count = _lines(folder / "test" / "nshards.txt")[0]
    if not count.isdecimal() or int(count) < 1:
        raise BenchmarkError(f"{folder / 'test' / 'nshards.txt'} must hold the number of shards")
    shards = [folder / "test" / f"{i}.tar" for i in range(int(count))]
    for shard in shards:
        if not shard.is_file():
            raise BenchmarkError(f"{shard} is missing; nshards.txt speaks of {count} shards")
        if shard.read_bytes()[-1024:].strip(b"\0"):
            # Readers of tar files take one that was cut between two members for a shorter one.
            raise BenchmarkError(f"{shard} is cut off: a tar file ends with 1,024 zero bytes")
    labels, keys, encoded = [], [], []
    try:
        # Every process reads every shard: what is shared out among processes is runs, not samples.
        samples = wds.WebDataset([str(s) for s in shards], shardshuffle=False, nodesplitter=_all)
        for sample in samples:
            image = next((sample[key] for key in IMAGE_KEYS if key in sample), None)
            label = sample.get("cls", b"").decode("ascii", "replace").strip()
            if image is None or not label.isdecimal() or int(label) >= len(class_names):
                raise BenchmarkError(f"sample {sample['__key__']!r} in {folder} lacks its image or a valid class")
            labels.append(int(label))
            keys.append(sample["__key__"])
            encoded.append(image)
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        raise BenchmarkError(f"a shard in {folder} can't be read: {error}") from error
    if not labels:
        raise BenchmarkError(f"{folder} holds no samples")
    return ZeroShot(class_names, templates, np.array(labels), tuple(keys), tuple(encoded))


def _all(urls: Any) -> Any:
    return urls


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path} can't be read: {error}") from error
    if not lines:
        raise BenchmarkError(f"{path} is empty")
    return lines
