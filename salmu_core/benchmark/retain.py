"""A user's own retain pairs: tar files that stand in for the web pairs nobody may hand on. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salmu_core.benchmark.rows import Rows
from salmu_core.benchmark.tars import TarImages, expand, read_shards
from salmu_core.contract.progress import Progress
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import BenchmarkError
from salmu_core.store.records import RetainRef, RetainShard


@dataclass(frozen=True)
class Stream:
    """A user's own retain pairs.

    Attributes:
        rows: The pairs.
        record: What of them stands in a run's record.
    """

    rows: Rows
    record: RetainRef

    @classmethod
    def open(cls, patterns: Sequence[str], share: float, progress: Progress) -> Stream:
        """Index tar files of images and captions; samples that lack one of both are left out, and counted.

        Args:
            patterns: Such as ``shards/{00000..00099}.tar``.
            share: Share of every retain batch.
            progress: Told how far it is.

        Raises:
            BenchmarkError: A file is missing or damaged, or none holds a pair.
        """
        paths: list[Path] = [path for pattern in patterns for path in expand(pattern)]
        if len(set(paths)) != len(paths):
            raise BenchmarkError(f"{' '.join(patterns)} names a file twice")
        shards = read_shards(paths, progress)
        captions = tuple(str(shard.captions[i]) for shard in shards for i in shard.whole)
        if not captions:
            raise BenchmarkError(f"{' '.join(patterns)}: no sample has both an image and a caption (.txt)")
        names = tuple(f"{shard.path.stem}/{shard.keys[i]}" for shard in shards for i in shard.whole)
        images = TarImages(shards, [shard.whole for shard in shards])
        content = hash_json([shard.sha256 for shard in shards])
        rows = Rows("retain stream", captions, (None,) * len(captions), names, images, content)
        used = tuple(
            RetainShard(name=s.path.name, sha256=s.sha256, pairs=len(s.whole), left_out=len(s) - len(s.whole))
            for s in shards
        )
        return cls(rows, RetainRef(share=share, shards=used))

    def of(self, batch: int) -> int:
        """How many pairs of a batch come from here."""
        return round(self.record.share * batch)
