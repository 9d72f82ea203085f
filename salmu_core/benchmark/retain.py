"""A user's own retain pairs: tar files that stand in for the web pairs nobody may hand on. Nothing here needs torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from salmu_core.benchmark.rows import Rows
from salmu_core.benchmark.tars import Shard, TarImages, expand, read_shards
from salmu_core.clip.pictures import opened
from salmu_core.contract.progress import Progress
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.file_hashes import InUse
from salmu_core.disk.hashing import hash_json
from salmu_core.disk.notes import note
from salmu_core.disk.space import COUNTS
from salmu_core.errors import BenchmarkError, PictureError
from salmu_core.store.records import RetainRef, RetainShard

#: Pictures that are looked at before work begins, and the share of them that may be none.
LOOKED_AT, MOST_DAMAGED = 100, 0.05


@dataclass(frozen=True)
class Stream:
    """A user's own retain pairs.

    Attributes:
        record: What of them stands in a run's record.
        in_use: The tar files, as they were when they were hashed.
        hashes: Tar file -> SHA-256.
    """

    rows: Rows
    record: RetainRef
    in_use: InUse = field(default_factory=InUse, compare=False, repr=False)
    hashes: Mapping[Path, str] = field(default_factory=dict)

    @classmethod
    def open(cls, patterns: Sequence[str], share: float, progress: Progress) -> Stream:
        """Index tar files of images and captions, and look at some; what lacks one of both is left out, and said.

        Args:
            patterns: Such as ``shards/{00000..00099}.tar``.
            share: Share of every retain batch.

        Raises:
            BenchmarkError: A file is missing or damaged, most of one is no pairs, or too many pictures are damaged.
        """
        paths: list[Path] = [path for pattern in patterns for path in expand(pattern)]
        if len(set(paths)) != len(paths):
            raise BenchmarkError(f"{' '.join(patterns)} names a file twice")
        in_use = InUse(path for path in paths if path.is_file())
        shards = read_shards(paths, progress)
        _tell_left_out(shards)
        captions = tuple(str(shard.captions[i]) for shard in shards for i in shard.whole)
        if not captions:
            raise BenchmarkError(f"{' '.join(patterns)}: no sample has both an image and a caption (.txt)")
        names = tuple(f"{shard.path.stem}/{shard.keys[i]}" for shard in shards for i in shard.whole)
        images = TarImages(shards, [shard.whole for shard in shards])
        content = hash_json([shard.sha256 for shard in shards])
        rows = Rows("retain stream", captions, (None,) * len(captions), names, images, content)
        _try_some(rows)
        used = tuple(
            RetainShard(name=s.path.name, sha256=s.sha256, pairs=len(s.whole), left_out=len(s) - len(s.whole))
            for s in shards
        )
        return cls(rows, RetainRef(share=share, shards=used), in_use, {s.path: s.sha256 for s in shards})

    def check_unchanged(self) -> None:
        """See that what was drawn so far is what `record` says; to be called before a run's record says so.

        Raises:
            BenchmarkError: A file was changed meanwhile.
        """
        if (path := self.in_use.changed(self.hashes)) is not None:
            raise BenchmarkError(
                f"{path} was changed while retain pairs were drawn from it: what was just made is not kept. Run the "
                "same command again."
            )

    def of(self, batch: int) -> int:
        """How many pairs of a batch come from here."""
        return round(self.record.share * batch)


def _tell_left_out(shards: Sequence[Shard]) -> None:
    """Say how many samples are no pairs.

    Raises:
        BenchmarkError: They are most of a shard.
    """
    left_out = [len(shard) - len(shard.whole) for shard in shards]
    why = (
        "they lack an image or a caption. As webdataset reads them, names end at their first dot: 'a 1.5.jpg' and "
        "'a 1.5.txt' are no pair"
    )
    for shard, number in zip(shards, left_out, strict=True):
        if 2 * number > len(shard):
            raise BenchmarkError(f"{number:,} of {len(shard):,} samples of {shard.path} are left out: {why}.")
    if number := sum(left_out):
        note(f"{number:,} of {sum(map(len, shards)):,} samples of your own retain shards are left out: {why}.")


def _try_some(rows: Rows) -> None:
    """Decode some pictures, evenly spread, so that shards of something else are no surprise of later hours.

    Raises:
        BenchmarkError: Too many can't be decoded.
    """
    key = [rows.content, LOOKED_AT, "pictures that can't be decoded"]
    if (kept := recall(COUNTS, key)) is None:
        damaged = []
        for row in np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int)).tolist():
            try:
                with opened(rows.encoded[row]):
                    pass
            except PictureError as error:
                damaged.append(f"{rows.file_names[row]!r}: {error}")
        kept = json.dumps(damaged).encode()
        remember(COUNTS, key, kept)
    damaged, tried = json.loads(kept), min(len(rows), LOOKED_AT)
    if len(damaged) > MOST_DAMAGED * tried:
        raise BenchmarkError(
            f"{len(damaged)} of {tried} pictures of your own retain pairs that were looked at can't be decoded, more "
            f"than {MOST_DAMAGED:.0%} ({damaged[0]}): take such samples out, or fetch the shards again"
        )
    if damaged:
        note(
            f"{len(damaged)} of {tried} pictures of your own retain pairs that were looked at can't be decoded "
            f"({damaged[0]}): each such pair is replaced by the next one, and counted in the run's record."
        )
