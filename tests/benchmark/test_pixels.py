"""Images as a model takes them: decoded once, by however many processes, and never all in memory."""

import errno
import io
import multiprocessing
import os
import pickle  # noqa: TID251 - as worker processes are given it
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from salmu_core import Pair, write_split
from salmu_core.benchmark import decoding
from salmu_core.benchmark import pixels as module
from salmu_core.benchmark.pixels import DirectPixels, Pixels
from salmu_core.benchmark.rows import ParquetImages, read_rows
from salmu_core.clip.load import load_clip
from salmu_core.disk.files import replacing
from salmu_core.errors import BenchmarkError

#: Rows from all over the file.
ALL = [0, 1, 5, 297, 298, 299, 300, 301, 302, 599]
FORK = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pixels"


@pytest.fixture(scope="module")
def clip(tiny):
    return load_clip(tiny / "compromised")


def image(number, mode="RGB"):
    noise = np.random.default_rng(number).integers(0, 256, (20 + number % 5, 31, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """600 rows in two shards, three row groups."""
    made = tmp_path_factory.mktemp("rows")
    modes = ("RGB", "L", "RGBA", "P", "LA")
    write_split(made, "retain_synth", [Pair(image(k, modes[k % 5]), f"{k}", None, f"{k}.png") for k in range(600)], 2)
    return made


def test_the_image_column_is_read_at_any_place_from_any_process(folder):
    shards = sorted((folder / "data").glob("*.parquet"))
    expected = [i["bytes"] for s in shards for i in pq.read_table(s)["image"].to_pylist()]
    images = ParquetImages(shards)
    assert len(images) == 600 and images[0] == expected[0]
    elsewhere = pickle.loads(pickle.dumps(images))
    for i in (599, 0, 250, 249, 300, 299, 550):
        assert images[i] == elsewhere[i] == expected[i]


@pytest.mark.parametrize("kind", ["plain", "one group", "large"])
def test_other_ways_to_write_the_column_are_read_too(folder, clip, cache, tmp_path, kind):
    table = pa.concat_tables([pq.read_table(s) for s in sorted((folder / "data").glob("*.parquet"))])
    expected = [i["bytes"] for i in table["image"].to_pylist()]
    if kind != "one group":
        column = pa.chunked_array([pa.array(expected, pa.large_binary() if kind == "large" else pa.binary())])
        table = table.set_column(0, "image", column)
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "retain_synth-00000-of-00001.parquet")
    rows = read_rows(tmp_path, "retain_synth")
    assert len(rows.encoded.groups) == 1 and [rows.encoded[i] for i in (599, 0, 300)] == [
        expected[i] for i in (599, 0, 300)
    ]
    whole = Pixels(read_rows(folder, "retain_synth"), clip)(np.arange(600))
    assert (Pixels(rows, clip)(np.arange(600)) == whole).all()


def test_identities_are_text_whatever_they_were_written_as(folder, tmp_path):
    table = pq.read_table(sorted((folder / "data").glob("*.parquet"))[0])
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "retain_synth-00000-of-00001.parquet"
    for values, found in (([12.0, None, 7.0], ["12", None, "7"]), ([12, 3, 7], ["12", "3", "7"])):
        pq.write_table(table.slice(0, 3).set_column(2, "identity_id", pa.array(values)), path)
        assert list(read_rows(tmp_path, "retain_synth").identity_ids) == found
    pq.write_table(table.slice(0, 3).set_column(2, "identity_id", pa.array([1.5, 2.0, 3.0])), path)
    with pytest.raises(BenchmarkError, match="can't be read"):
        read_rows(tmp_path, "retain_synth")
    pq.write_table(table.slice(0, 3).set_column(0, "image", pa.array(["a", "b", "c"])), path)
    with pytest.raises(BenchmarkError, match="not bytes"):
        read_rows(tmp_path, "retain_synth")


def test_pixels_are_what_open_clip_would_see(folder, clip, tiny, cache):
    preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny / 'compromised'}")[2]
    rows = read_rows(folder, "retain_synth")
    index = np.array([599, 3, 3, 0, 255, 256, 1, 2, 4])
    ours = clip.normalize(Pixels(rows, clip)(index))
    for mine, i in zip(ours, index, strict=True):
        assert (mine - preprocess(Image.open(io.BytesIO(rows.encoded[i])))).abs().max() < 1e-6


@pytest.mark.parametrize("way", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_however_many_processes_decode_the_bytes_are_the_same(folder, clip, cache, monkeypatch, way):
    context = multiprocessing.get_context(way)  # spawned, each imports torch
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)
    rows = read_rows(folder, "retain_synth")
    Pixels(rows, clip)
    (alone,) = cache.rglob("*.npy")
    content = alone.read_bytes()
    alone.unlink()
    monkeypatch.setattr(decoding, "MANY", 100)
    monkeypatch.setattr(decoding, "usable_cores", lambda: 2)
    told = []
    Pixels(rows, clip, lambda stage, fraction: told.append(fraction))
    assert alone.read_bytes() == content
    assert told == sorted(told) and told[-1] == 1.0
    assert (DirectPixels(rows, clip)(np.array([5, 1])) == Pixels(rows, clip)(np.array([5, 1]))).all()


def test_the_same_content_is_decoded_once_wherever_it_lies(folder, clip, cache, tmp_path, monkeypatch):
    Pixels(read_rows(folder, "retain_synth"), clip)
    (tmp_path / "moved").symlink_to(folder)
    with monkeypatch.context() as patched:
        patched.setattr(module, "decode", lambda *_: pytest.fail("decoded again"))
        Pixels(read_rows(tmp_path / "moved", "retain_synth"), clip)
    assert len(list(cache.rglob("*.npy"))) == 1


def test_other_content_or_preprocessing_is_decoded_anew(folder, clip, cache, tiny, tmp_path):
    rows = read_rows(folder, "retain_synth")
    Pixels(rows, clip)
    write_split(tmp_path, "retain_synth", [Pair(image(k + 1), f"{k}", None, f"{k}.png") for k in range(600)], 2)
    other = read_rows(tmp_path, "retain_synth")
    assert other.content != rows.content
    assert not (Pixels(other, clip)(np.arange(9)) == Pixels(rows, clip)(np.arange(9))).all()
    changed = load_clip(tiny / "compromised")
    changed.config["preprocess_cfg"] = {**changed.config["preprocess_cfg"], "interpolation": "bilinear"}
    Pixels(rows, changed)
    assert len(list(cache.rglob("*.npy"))) == 3


def test_what_has_been_looked_at_is_given_back_and_still_right(folder, clip, cache, monkeypatch):
    rows = read_rows(folder, "retain_synth")
    pixels = Pixels(rows, clip)
    whole = pixels(np.arange(600)).clone()
    monkeypatch.setattr(module, "HELD", 1000)
    for start in range(0, 600, 50):
        assert (pixels(np.arange(start, start + 50)) == whole[start : start + 50]).all()


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("content", "words"), [(b"not an image", "no picture"), (None, "the row has none")])
def test_an_image_that_can_not_be_read_is_named_and_nothing_is_kept(
    folder, clip, cache, tmp_path, monkeypatch, parallel, content, words
):
    shard = sorted((folder / "data").glob("*.parquet"))[1]
    table = pq.read_table(shard)
    images = table["image"].to_pylist()
    images[70]["bytes"] = content
    (tmp_path / "data").mkdir()
    column = pa.array(images, table.schema.field("image").type)
    path = tmp_path / "data" / "retain_synth-00000-of-00001.parquet"
    pq.write_table(table.set_column(0, "image", column), path, row_group_size=100)
    if parallel:
        monkeypatch.setattr(decoding, "MANY", 100)
        monkeypatch.setattr(decoding, "usable_cores", lambda: 2)
        # Forks have torch already; that processes which share nothing do the same is looked at above.
        monkeypatch.setattr(decoding.multiprocessing, "get_context", lambda _: FORK)
    with pytest.raises(BenchmarkError, match=rf"'370\.png' of split retain_synth can't be read.*{words}"):
        Pixels(read_rows(tmp_path, "retain_synth"), clip)
    assert not [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]


@pytest.mark.parametrize("where", [0.0, 0.01, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_a_file_that_is_damaged_is_made_again_wherever_that_is_found(folder, clip, cache, where, damage):
    rows = read_rows(folder, "retain_synth")
    held = Pixels(rows, clip)
    (path,) = cache.rglob("*.npy")
    content = path.read_bytes()
    place = int(where * (len(content) - 1))
    if damage == "flip":
        path.chmod(0o644)
        with path.open("r+b") as file:  # in what is mapped, too
            file.seek(place)
            file.write(bytes([content[place] ^ 4]))
    else:
        path.unlink()
        path.write_bytes(content[:place] if damage == "cut" else content + b"\0" * (place + 1))
    expected = torch.stack([torch.from_numpy(clip.to_pixels(Image.open(io.BytesIO(rows.encoded[i])))) for i in ALL])
    for pixels in (Pixels(rows, clip), held):
        assert torch.equal(pixels(np.array(ALL)), expected)
    assert path.read_bytes() == content


def test_a_plugins_process_makes_what_is_damaged_for_itself_alone(folder, clip, cache, tmp_path, monkeypatch):
    rows = read_rows(folder, "retain_synth")
    held = Pixels(rows, clip)
    expected = held(np.array(ALL)).clone()
    (path,) = cache.rglob("*.npy")
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    monkeypatch.setattr("salmu_core.disk.cache._Own.aside", tmp_path / "aside")
    pixels = Pixels(rows, clip)
    pixels(np.arange(600))  # one of them is the damaged one
    assert torch.equal(pixels(np.array(ALL)), expected)
    assert path.read_bytes() == content


@pytest.mark.parametrize("obstacle", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_in_its_place_is_not_waited_for(folder, clip, cache, obstacle):
    rows = read_rows(folder, "retain_synth")
    expected = Pixels(rows, clip)(np.arange(9)).clone()
    (path,) = cache.rglob("*.npy")
    path.unlink()
    obstacle(path)
    assert torch.equal(Pixels(rows, clip)(np.arange(9)), expected)
    assert not path.is_file()


def test_another_files_pixels_are_not_taken(folder, clip, cache, tmp_path):
    """Whole as they are, they belong to other rows."""
    write_split(tmp_path, "retain_synth", [Pair(image(k + 1), f"{k}", None, f"{k}.png") for k in range(600)], 1)
    other, rows = read_rows(tmp_path, "retain_synth"), read_rows(folder, "retain_synth")
    right = Pixels(other, clip)(np.arange(9)).clone()
    (foreign,) = cache.rglob("*.npy")
    Pixels(rows, clip)
    for path in cache.rglob("*.npy"):
        foreign.replace(path) if path != foreign else None
    assert torch.equal(Pixels(other, clip)(np.arange(9)), right)
    assert not torch.equal(Pixels(rows, clip)(np.arange(9)), right)


def test_what_a_killed_process_left_is_taken_away_and_what_a_living_one_writes_is_left(folder, clip, cache):
    rows = read_rows(folder, "retain_synth")
    Pixels(rows, clip)
    (path,) = cache.rglob("*.npy")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with replacing(path) as mine:
        began = mine.name.split("-")[2]  # 0 where nobody knows when a process began
        own = f"-{os.getpid()}-{began}-"
        left = [mine.with_name(mine.name.replace(own, f"-{pid}-0-")) for pid in (dead.pid, os.getppid())]
        for temporary in left:
            temporary.write_bytes(b"half")
        path.unlink()
        Pixels(rows, clip)
        assert path.is_file() and mine.exists()
    assert [temporary.exists() for temporary in left] == [False, True]


def unwritable(monkeypatch, cache, how):
    if how == "a full disk":
        free = module.shutil.disk_usage(cache.parent.parent).free
        here = lambda folder: SimpleNamespace(free=1000 if cache in (folder, *folder.parents) else free)  # noqa: E731
        monkeypatch.setattr(module.shutil, "disk_usage", here)
    elif how == "no folder":
        cache.parent.mkdir(exist_ok=True)
        cache.write_text("a file")
    else:
        monkeypatch.setattr("filelock.FileLock", FileLockThatFails)


class FileLockThatFails:
    def __init__(self, path):
        raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("how", ["a full disk", "no folder", "read-only"])
def test_where_the_cache_takes_nothing_the_pixels_are_the_same_and_it_is_said_once(
    folder, clip, tmp_path, monkeypatch, how, caplog
):
    rows = read_rows(folder, "retain_synth")
    whole = Pixels(rows, clip)(np.arange(600)).clone()
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    unwritable(monkeypatch, tmp_path / "cache" / "pixels", how)
    for _ in range(2):
        assert torch.equal(Pixels(rows, clip)(np.arange(600)), whole)
    (record,) = caplog.records
    assert "SALMU_CACHE" in record.getMessage() and "\n" not in record.getMessage()
    assert not [*tmp_path.glob("salmu-*")] and not [*(tmp_path / "cache").rglob("*.npy")]


def test_a_warm_cache_needs_no_writing(folder, clip, cache, monkeypatch, caplog):
    rows = read_rows(folder, "retain_synth")
    whole = Pixels(rows, clip)(np.arange(600)).clone()
    unwritable(monkeypatch, cache, "read-only")
    assert torch.equal(Pixels(rows, clip)(np.arange(600)), whole) and not caplog.records


def test_disks_without_room_are_a_sentence_before_anything_is_decoded(folder, clip, cache, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(BenchmarkError, match="SALMU_CACHE"):
        Pixels(read_rows(folder, "retain_synth"), clip)
    assert not list(cache.rglob("*.npy"))
