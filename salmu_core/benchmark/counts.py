"""Whether a benchmark's splits have the rows and people that were announced: a short shard is no smaller benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from salmu_core.benchmark.shards import check_shards, person_ids
from salmu_core.contract.layout import FORGET, HOLDOUT_ASSOCIATION
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.space import COUNTS
from salmu_core.errors import BenchmarkError


def check_counts(data: Path, hashes: Mapping[str, str], rows: Mapping[str, int], identities: Mapping[str, int]) -> None:
    """Hold footers and the column ``identity_id`` against what was announced; images are not read.

    Args:
        data: Folder with ``data/*.parquet``.
        hashes: Path of each shard within it, as ``data/forget-00000-of-00001.parquet`` -> SHA-256. What was counted
            in a file of this content is kept in the cache folder.
        rows: Split -> number of rows.
        identities: Split -> number of people; `forget_identity` and `forget_association` are parts of `forget`.

    Raises:
        BenchmarkError: A shard is missing or can't be read, or a number is another.
    """
    if not rows and not identities:
        return
    splits = dict.fromkeys(rows) | dict.fromkeys(identities)
    derived = [name for name in splits if name.startswith(f"{FORGET}_")]
    wanted = [name for name in splits if name not in derived] + [FORGET, HOLDOUT_ASSOCIATION] * bool(derived)
    counted = {split: _count(data, split, hashes) for split in dict.fromkeys(wanted)}
    people = {split: ids for split, (_, ids) in counted.items()}
    if derived:
        half = people[HOLDOUT_ASSOCIATION]
        people |= {"forget_identity": people[FORGET] - half, "forget_association": people[FORGET] & half}
    for split, number in rows.items():
        if counted[split][0] != number:
            raise BenchmarkError(f"split {split} in {data / 'data'} has {counted[split][0]:,} rows{_not(number)}")
    for split, number in identities.items():
        if len(people[split]) != number:
            raise BenchmarkError(f"split {split} in {data / 'data'} shows {len(people[split]):,} people{_not(number)}")


def _not(number: int) -> str:
    return f", not the {number:,} there should be: a shard is short, missing, or of another version"


def _count(data: Path, split: str, hashes: Mapping[str, str]) -> tuple[int, set[str]]:
    """Rows and people of a split."""
    names = [name.removeprefix("data/") for name in hashes if name.startswith("data/")]
    shards = [f"data/{name}" for name in check_shards(data / "data", split, names)]
    counts = [_count_shard(data / shard, hashes[shard]) for shard in shards]
    return sum(rows for rows, _ in counts), {person for _, people in counts for person in people}


def _count_shard(path: Path, sha256: str) -> tuple[int, list[str]]:
    if (kept := recall(COUNTS, sha256)) is not None:
        known = json.loads(kept)
        return known["rows"], known["identities"]
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            column = person_ids(file.read(columns=["identity_id"])["identity_id"].unique())
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BenchmarkError(f"{path} can't be read as a parquet shard: {error}") from error
    identities = sorted(person for person in column if person is not None)
    remember(COUNTS, sha256, json.dumps({"rows": rows, "identities": identities}).encode())
    return rows, identities
