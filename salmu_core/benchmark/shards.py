"""The parquet shards of a split: which there should be, and whom they show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from salmu_core.errors import BenchmarkError


def check_shards(folder: Path, split: str, names: Iterable[str]) -> list[str]:
    """The names of a split's shards in order: at least one, and as many as they themselves speak of.

    Args:
        folder: Where they lie, for messages.
        names: Such as ``forget-00000-of-00001.parquet``, other splits' too.

    Raises:
        BenchmarkError: There is none, or another number of them than their names say.
    """
    shards = sorted(name for name in names if name.startswith(f"{split}-") and name.endswith(".parquet"))
    if not shards:
        raise BenchmarkError(f"{folder} has no {split}-*.parquet")
    announced = {Path(shard).stem.rpartition("-of-")[2] for shard in shards if "-of-" in shard}
    if announced and announced != {f"{len(shards):05d}"}:
        numbers = ", ".join(sorted(announced))
        raise BenchmarkError(f"{folder} has {len(shards)} shards of {split}, their names speak of {numbers}")
    return shards


def person_ids(column: Any) -> list[str | None]:
    """Identities as text, whatever type a writer gave them: a column of numbers with gaps comes as floats.

    Raises:
        pa.ArrowInvalid: They are numbers, and not whole.
    """
    import pyarrow as pa

    whole = column.cast(pa.int64()) if pa.types.is_floating(column.type) else column
    return [None if i is None else str(i) for i in whole.to_pylist()]
