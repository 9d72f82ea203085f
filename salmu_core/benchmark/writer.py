"""Writes the released layout: what benchmarks that make their own data, and tests, share.

Same input, same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from salmu_core.contract.pair import Pair

# As Hugging Face `datasets` stores an image: the encoded bytes, and the name they came from.
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_SCHEMA = pa.schema(
    [("image", _IMAGE), ("text", pa.string()), ("identity_id", pa.string()), ("file_name", pa.string())],
    metadata={
        "huggingface": json.dumps(
            {
                "info": {
                    "features": {
                        "image": {"_type": "Image"},
                        "text": {"dtype": "string", "_type": "Value"},
                        "identity_id": {"dtype": "string", "_type": "Value"},
                        "file_name": {"dtype": "string", "_type": "Value"},
                    }
                }
            }
        )
    },
)


#: Pictures are compressed already; small row groups let a reader take a few without reading all.
_ROW_GROUP = 250


def write_split(folder: Path, split: str, pairs: Sequence[Pair], shards: int = 1) -> None:
    """Write ``data/{split}-NNNNN-of-NNNNN.parquet``."""
    size = -(-len(pairs) // shards)
    for shard in range(shards):
        _write_shard(_shard(folder, split, shard, shards), pairs[shard * size : (shard + 1) * size])


def write_split_stream(folder: Path, split: str, pairs: Iterable[Pair], count: int, rows_per_shard: int = 2000) -> None:
    """Write ``data/{split}-NNNNN-of-NNNNN.parquet`` with no more than a row group's images in memory.

    Args:
        folder: The benchmark's folder.
        pairs: Its rows; each is taken once, in order.
        count: How many there are: the number of shards is in their names, before the last row is seen.
        rows_per_shard: Rows of every shard but the last.

    Raises:
        ValueError: There are more or fewer rows than `count`.
    """
    shards, rest = max(1, -(-count // rows_per_shard)), iter(pairs)
    written = 0
    for shard in range(shards):
        size = min(rows_per_shard, count - shard * rows_per_shard)
        written += _write_shard(_shard(folder, split, shard, shards), islice(rest, size))
    written += sum(1 for _ in rest)
    if written != count:
        raise ValueError(f"split {split} has {written} rows, not the {count} that were announced")


def _shard(folder: Path, split: str, shard: int, shards: int) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    return folder / "data" / f"{split}-{shard:05d}-of-{shards:05d}.parquet"


def _write_shard(path: Path, pairs: Iterable[Pair]) -> int:
    """Write rows a row group at a time, and say how many there were."""
    rest, written = iter(pairs), 0
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        while part := list(islice(rest, _ROW_GROUP)):
            writer.write_table(_table(part), row_group_size=_ROW_GROUP)
            written += len(part)
        if not written:
            writer.write_table(_table([]))
    return written


def _table(part: Sequence[Pair]) -> Any:
    return pa.table(
        {
            "image": [{"bytes": p.image, "path": p.file_name} for p in part],
            "text": [p.text for p in part],
            "identity_id": [p.identity_id for p in part],
            "file_name": [p.file_name for p in part],
        },
        schema=_SCHEMA,
    )


def write_json(path: Path, value: Any) -> None:
    """Write one of the layout's JSON files."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_zeroshot(
    folder: Path,
    class_names: Sequence[str],
    templates: Sequence[str],
    samples: Iterable[tuple[bytes, int]],
    shards: int = 1,
    extension: str = "webp",
) -> None:
    """Write a zero-shot set in the webdataset layout of CLIP_benchmark.

    Args:
        class_names: Name of each class.
        templates: Prompts with ``{c}`` for the class name.
        samples: Encoded image and class number of each sample.
        shards: Number of tar files.
        extension: File type of the images.
    """
    (folder / "test").mkdir(parents=True, exist_ok=True)
    for name, lines in (("classnames", class_names), ("zeroshot_classification_templates", templates)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "test" / "nshards.txt").write_text(f"{shards}\n", encoding="utf-8")
    numbered = list(enumerate(samples))
    size = -(-len(numbered) // shards)
    for shard in range(shards):
        with tarfile.open(folder / "test" / f"{shard}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number, (image, label) in numbered[shard * size : (shard + 1) * size]:
                for suffix, content in ((extension, image), ("cls", str(label).encode())):
                    member = tarfile.TarInfo(f"s{number:07d}.{suffix}")
                    member.size, member.mtime, member.mode = len(content), 0, 0o644
                    tar.addfile(member, io.BytesIO(content))
