"""Whether a benchmark's splits have the rows and people that were announced: a short shard is no smaller benchmark."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from salmu_core.benchmark.shards import check_shards, person_ids
from salmu_core.contract.layout import FORGET, HOLDOUT_ASSOCIATION
from salmu_core.disk.cache import recall, remember
from salmu_core.disk.space import COUNTS
from salmu_core.errors import BenchmarkError

_FORMAT = "rows by person 1"
#: Whom rows without a person show.
NOBODY = ""


def check_counts(data: Path, hashes: Mapping[str, str], rows: Mapping[str, int], identities: Mapping[str, int]) -> None:
    """Hold the column ``identity_id`` against what was announced; images are not read.

    Args:
        data: Folder with ``data/*.parquet``.
        hashes: Path of each shard within it, as ``data/forget-00000-of-00001.parquet`` -> SHA-256. What was counted
            in a file of this content is kept in the cache folder.
        rows: Split -> number of rows; `forget_identity` and `forget_association` are parts of `forget`.
        identities: Split -> number of people.

    Raises:
        BenchmarkError: A shard is missing or can't be read, or a number is another.
    """
    if not rows and not identities:
        return
    splits = dict.fromkeys(rows) | dict.fromkeys(identities)
    derived = [name for name in splits if name.startswith(f"{FORGET}_")]
    wanted = [name for name in splits if name not in derived] + [FORGET, HOLDOUT_ASSOCIATION] * bool(derived)
    counted = {split: _count(data, split, hashes) for split in dict.fromkeys(wanted)}
    if derived:
        forget, half = counted[FORGET], counted[HOLDOUT_ASSOCIATION].keys()
        counted["forget_identity"] = Counter({person: n for person, n in forget.items() if person not in half})
        counted["forget_association"] = forget - counted["forget_identity"]
    for split, number in rows.items():
        if (found := counted[split].total()) != number:
            raise BenchmarkError(f"split {split} in {data / 'data'} has {found:,} rows{_not(number)}")
    for split, number in identities.items():
        if (found := len(counted[split].keys() - {NOBODY})) != number:
            raise BenchmarkError(f"split {split} in {data / 'data'} shows {found:,} people{_not(number)}")


def _not(number: int) -> str:
    return f", not the {number:,} there should be: a shard is short, missing, or of another version"


def _count(data: Path, split: str, hashes: Mapping[str, str]) -> Counter[str]:
    """Rows of each person of a split."""
    names = [name.removeprefix("data/") for name in hashes if name.startswith("data/")]
    shards = [f"data/{name}" for name in check_shards(data / "data", split, names)]
    return sum((_count_shard(data / shard, hashes[shard]) for shard in shards), Counter())


def _count_shard(path: Path, sha256: str) -> Counter[str]:
    key = [_FORMAT, sha256]
    if (kept := recall(COUNTS, key)) is not None:
        return Counter(json.loads(kept))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        people = person_ids(pq.read_table(path, columns=["identity_id"])["identity_id"])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BenchmarkError(f"{path} can't be read as a parquet shard: {error}") from error
    rows = Counter(NOBODY if person is None else person for person in people)
    remember(COUNTS, key, json.dumps(dict(sorted(rows.items()))).encode())
    return rows
