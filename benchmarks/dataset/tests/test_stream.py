"""Writing a split as a stream: the bytes of the writer that has all rows at once, with a few rows in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from salmu_core import Pair, write_split, write_split_stream


def _pairs(count: int) -> Iterator[Pair]:
    for n in range(count):
        yield Pair(f"image {n}".encode() * 9, f"text {n % 7}", None if n % 3 == 0 else str(n), f"{n}.jpg")


@pytest.mark.parametrize(("count", "per_shard"), [(1, 10), (250, 250), (751, 300), (1200, 600)])
def test_a_stream_makes_the_bytes_of_a_list(tmp_path: Path, count: int, per_shard: int) -> None:
    write_split_stream(tmp_path / "stream", "forget", _pairs(count), count, per_shard)
    for number, path in enumerate(sorted((tmp_path / "stream" / "data").iterdir())):
        part = list(_pairs(count))[number * per_shard : (number + 1) * per_shard]
        write_split(tmp_path / f"list{number}", "forget", part)
        assert path.read_bytes() == next((tmp_path / f"list{number}" / "data").iterdir()).read_bytes()
        assert path.name == f"forget-{number:05d}-of-{-(-count // per_shard):05d}.parquet"


def test_row_groups_are_small_and_rows_are_asked_for_as_they_are_written(tmp_path: Path) -> None:
    asked: list[int] = []
    written: list[int] = []

    def watched() -> Iterator[Pair]:
        for n, pair in enumerate(_pairs(1000)):
            asked.append(n)
            if n == 900:
                written.append(sum(path.stat().st_size for path in (tmp_path / "data").iterdir()))
            yield pair

    write_split_stream(tmp_path, "forget", watched(), 1000, 400)
    groups = [pq.ParquetFile(path).metadata.num_row_groups for path in sorted((tmp_path / "data").iterdir())]
    assert groups == [2, 2, 1] and len(asked) == 1000 and written[0] > 0


@pytest.mark.parametrize("announced", [9, 11])
def test_another_number_of_rows_than_announced_is_an_error(tmp_path: Path, announced: int) -> None:
    with pytest.raises(ValueError, match=f"has 10 rows, not the {announced}"):
        write_split_stream(tmp_path, "forget", _pairs(10), announced, 4)
