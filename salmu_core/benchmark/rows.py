"""Rows of one split: captions and names in memory, encoded images left in their files until somebody looks.

Parquet shards ``data/{split}-*.parquet`` have the columns ``image`` (encoded bytes), ``text``, ``identity_id`` and
``file_name``; see `salmu_core.contract.layout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from salmu_core.benchmark.shards import check_shards, person_ids
from salmu_core.contract import layout
from salmu_core.disk.hashing import hash_file, hash_json
from salmu_core.errors import BenchmarkError

_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)
#: Rows of a shard, and characters of a caption: by far more than anybody has, and less than hurts.
MOST_ROWS, MOST_TEXT = 10_000_000, 2**16


@dataclass(frozen=True)
class Rows:
    """Rows of one or more shards, in file order.

    Attributes:
        name: The split they come from.
        captions: ``text`` of each row.
        identity_ids: The person shown, or None.
        file_names: Unique name of each image.
        encoded: Encoded image bytes of each row, read when asked for.
        content: SHA-256 over the shards' contents.
    """

    name: str
    captions: tuple[str, ...]
    identity_ids: tuple[str | None, ...]
    file_names: tuple[str, ...]
    encoded: Sequence[bytes] = field(repr=False)
    content: str = ""

    def __len__(self) -> int:
        return len(self.captions)


class ParquetImages(Sequence[bytes]):
    """The image column of some parquet shards, one row group in memory at a time.

    Args:
        files: The shards, in order.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._groups: list[tuple[Path, int]] = []
        counts = []
        for file in files:
            metadata = pq.read_metadata(file)
            self._groups += [(file, group) for group in range(metadata.num_row_groups)]
            counts += [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._held: tuple[int, Any] | None = None
        #: First row and end of each row group: what is best read together.
        self.groups = tuple(zip((self._ends - counts).tolist(), self._ends.tolist(), strict=True))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, i: Any) -> Any:
        group = int(np.searchsorted(self._ends, i, side="right"))
        if self._held is None or self._held[0] != group:
            self._held = group, self._column(*self._groups[group])
        first = int(self._ends[group - 1]) if group else 0
        image = self._held[1][int(i) - first].as_py()
        return image["bytes"] if isinstance(image, dict) else image

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_held": None}  # for a process that reads another part

    @staticmethod
    def _column(file: Path, group: int) -> Any:
        try:
            with pq.ParquetFile(file) as opened:
                return opened.read_row_group(group, columns=["image"])["image"]
        except _DAMAGE as error:
            raise OSError(f"{file} can't be read: {error}") from error


def read_rows(folder: Path, split: str, hashes: Mapping[str, str] | None = None) -> Rows:
    """Read all shards of a split, in order of their names.

    Args:
        folder: Where ``data/`` lies.
        split: A split that has shards of its own.
        hashes: SHA-256 of shards by their path below ``folder``, where that is known; others are hashed here.

    Raises:
        BenchmarkError: There is no shard, a shard is damaged, or a column is missing or of another type.
    """
    names_here = [path.name for path in (folder / "data").glob("*.parquet")]
    shards = [folder / "data" / name for name in check_shards(folder / "data", split, names_here)]
    if irregular := [shard for shard in shards if not shard.is_file()]:
        raise BenchmarkError(f"{irregular[0]} is no file, but a folder, a pipe or a device")
    try:
        parts = [_read_shard(shard) for shard in shards]
        images = ParquetImages(shards)
    except _DAMAGE as error:
        raise BenchmarkError(f"a shard of {split} in {folder / 'data'} can't be read: {error}") from error
    texts, names, ids = ([value for part in parts for value in part[i]] for i in range(3))
    if not texts:
        raise BenchmarkError(f"split {split} in {folder / 'data'} has no rows")
    if None in texts or None in names:
        raise BenchmarkError(f"split {split} in {folder / 'data'} has rows without text or file name")
    if len(longest := max(texts, key=len)) > MOST_TEXT:
        raise BenchmarkError(
            f"split {split} in {folder / 'data'}: the caption of {names[texts.index(longest)]!r} has {len(longest):,} "
            f"characters, more than the {MOST_TEXT:,} that one may have"
        )
    if split != layout.RETAIN_SYNTH and None in ids:
        raise BenchmarkError(f"split {split} in {folder / 'data'} has rows without identity_id")
    if len(set(names)) != len(names):
        raise BenchmarkError(f"split {split} in {folder / 'data'} has a file name more than once")
    known = hashes or {}
    content = hash_json([known.get(f"data/{shard.name}") or hash_file(shard) for shard in shards])
    return Rows(split, tuple(texts), tuple(ids), tuple(names), images, content)


def _read_shard(shard: Path) -> tuple[list[Any], list[Any], list[Any]]:
    """Captions, file names and identities of one shard; its images are only looked for."""
    metadata, schema = pq.read_metadata(shard), pq.read_schema(shard)
    if metadata.num_rows > MOST_ROWS:
        raise ValueError(f"{shard.name} has {metadata.num_rows:,} rows, more than the {MOST_ROWS:,} of one shard")
    image = schema.field("image").type
    if pa.types.is_struct(image):
        image = image.field("bytes").type
    if not (pa.types.is_binary(image) or pa.types.is_large_binary(image)):
        raise KeyError(f"{shard.name}: its column 'image' holds {image}, not bytes")
    for column in ("text", "file_name"):
        kind = schema.field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            raise ValueError(f"{shard.name}: its column {column!r} holds {kind}, not texts")
    table = pq.read_table(shard, columns=[name for name in layout.COLUMNS if name != "image"])
    texts, names = (table[column].to_pylist() for column in ("text", "file_name"))
    return texts, names, person_ids(table["identity_id"])
