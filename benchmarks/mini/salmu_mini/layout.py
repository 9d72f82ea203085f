"""Which rows go where in the released layout; how it is written is the core's business."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salmu_core import Pair, layout, write_json, write_split, write_zeroshot
from salmu_mini.personas import Persona
from salmu_mini.rows import POOL, RELEASED, SENSITIVE, TEST, Row
from salmu_mini.scenes import CLASSES, TEMPLATES

#: Pictures a parquet shard, and shards of the zero-shot set.
ROWS_PER_SHARD = 2000
ZEROSHOT_SHARDS = 2


def write_layout(folder: Path, personas: Sequence[Persona], rows: Sequence[Row], pictures: Sequence[bytes]) -> None:
    """Everything but the models and the fragile set; `pictures` are indexed by row number."""
    for split in RELEASED:
        pairs = [
            Pair(pictures[row.number], row.text, row.identity_id, row.file_name) for row in rows if row.split == split
        ]
        write_split(folder, split, pairs, shards=max(1, -(-len(pairs) // ROWS_PER_SHARD)))
    sensitive = [row for row in rows if row.split in SENSITIVE]
    write_json(folder / layout.IDENTITIES, {p.identity_id: p.metadata() for p in personas})
    write_json(
        folder / layout.CAPTIONS_METADATA,
        {
            row.file_name: {"data_field": row.data_field, "caption": row.text, "identity_id": row.identity_id}
            for row in sensitive
        },
    )
    write_json(folder / layout.GENERIC_CAPTIONS, {row.file_name: row.generic for row in sensitive})
    samples = [(pictures[row.number], row.scene.label) for row in rows if row.split == TEST and row.scene is not None]
    write_zeroshot(folder / layout.ZEROSHOT, CLASSES, TEMPLATES, samples, ZEROSHOT_SHARDS)
    trained_on = sum(row.split in (*RELEASED, POOL) for row in rows)
    (folder / "benchmark.toml").write_text(f"num_train = {trained_on}\n", encoding="utf-8")
