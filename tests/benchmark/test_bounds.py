"""What a benchmark's files may ask for: a hostile or torn one is a sentence, and never hours or gigabytes."""

import io
import os
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from salmu_core.benchmark import rows
from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.rows import read_rows
from salmu_core.benchmark.sources import read_sources
from salmu_core.benchmark.tars import MOST_FILES, MOST_TEXT, expand
from salmu_core.benchmark.zeroshot import read_zeroshot
from salmu_core.errors import BenchmarkError, UsageError


@pytest.fixture
def folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(tiny, tmp_path / "copy")


@pytest.mark.parametrize(
    "pattern",
    ["{0..999999999}.tar", "{1..9999}{1..9999}.tar", "{a,b}" * 40, "{" * 3 + "a,b}" + "{c,d}" * 30 + ",e},f}.tar"],
)
def test_patterns_of_more_files_than_anybody_has_are_refused(pattern):
    with pytest.raises(UsageError, match=f"at most {MOST_FILES:,} are read"):
        expand(pattern)


def test_patterns_of_files_that_are_there_are_expanded(tmp_path):
    for name in ("00.tar", "02.tar", "x.tar"):
        (tmp_path / name).touch()
    assert [path.name for path in expand(f"{tmp_path}/{{{{00..02..2}},x}}.tar")] == ["00.tar", "02.tar", "x.tar"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_that_is_named_like_a_shard_keeps_nobody_waiting(folder):
    (shard,) = (folder / "data").glob("forget-*")
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(BenchmarkError, match="is no file, but"):
        read_rows(folder, "forget")


@pytest.mark.parametrize("text", ["1000000000", "1" * 5000, "²", "-1", "", "many"])
def test_the_number_of_shards_is_one(folder, text):
    (folder / "zeroshot/test/nshards.txt").write_text(text)
    with pytest.raises(BenchmarkError, match=r"nshards\.txt"):
        read_zeroshot(folder / "zeroshot")


def replace(folder, column, values):
    (shard,) = (folder / "data").glob("forget-*")
    table = pq.read_table(shard)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, values), shard)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("text", pa.array(range(16)), "column 'text' holds int64, not texts"),
        ("file_name", pa.array([[b"x"]] * 16), "column 'file_name' holds list"),
        ("text", pa.array([b"\xff\xfe"] * 16).view(pa.string()), "can't be read"),
        ("text", pa.array([*map(str, range(15)), "x" * (rows.MOST_TEXT + 1)]), "65,537 characters"),
        ("image", pa.array(["a"] * 16), "not bytes"),
    ],
)
def test_columns_of_other_types_and_endless_captions_are_refused(folder, column, values, words):
    replace(folder, column, values)
    with pytest.raises(BenchmarkError, match=words):
        read_rows(folder, "forget")


def test_a_dictionary_of_texts_is_as_good_as_texts(folder):
    before = read_rows(folder, "forget").captions
    replace(folder, "text", pa.array(before).dictionary_encode())
    assert read_rows(folder, "forget").captions == before


def test_the_rows_of_a_shard_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 15)
    with pytest.raises(BenchmarkError, match="has 16 rows, more than the 15"):
        read_rows(folder, "forget")


def test_a_text_in_a_shard_is_bounded(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (("a.png", b"x"), ("a.txt", b"y" * (MOST_TEXT + 1)), ("b.cls", b"1" * 2**20)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(BenchmarkError, match=r"2 of 2 samples of .* are left out"):
        Stream.open([str(tmp_path / "a.tar")], 0.5, lambda *_: None)


def test_a_folder_is_no_settings(folder):
    (folder / "benchmark.toml").mkdir()
    with pytest.raises(BenchmarkError, match="it is a folder"):
        read_sources(folder)
