"""Tar files of samples, held against `tarfile` and webdataset."""

import io
import os
import pickle  # noqa: TID251 - as worker processes are given it
import tarfile

import pytest
import webdataset as wds

from salmu_core.benchmark.tars import TarImages, expand, read_shard, read_shards
from salmu_core.disk import stamps
from salmu_core.errors import BenchmarkError, UsageError


def write(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def pair(number, caption="a cup"):
    return [(f"in/{number:05d}.jpg", b"image %d" % number), (f"in/{number:05d}.txt", caption.encode())]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


def test_it_finds_what_webdataset_finds(tmp_path):
    members = [*pair(0, "café № 3"), ("in/00001.json", b"{}"), *pair(1), ("in/00002.json", b"{}"), *reversed(pair(2))]
    paths = [write(tmp_path / "a.tar", members), write(tmp_path / "b.tar", [*pair(7), *pair(3)])]
    shards = read_shards(paths)
    found = [(key, note) for shard in shards for key, note in zip(shard.keys, shard.captions, strict=True)]
    samples = list(wds.WebDataset([str(p) for p in paths], shardshuffle=False))
    assert found == [(s["__key__"], s["txt"].decode()) for s in samples]
    assert list(TarImages(shards)) == [s["jpg"] for s in samples]


def test_images_are_read_at_any_place_from_any_process(tmp_path):
    paths = [write(tmp_path / f"{s}.tar", [m for k in range(9) for m in pair(10 * s + k)]) for s in (0, 1)]
    shards = read_shards(paths)
    images = pickle.loads(pickle.dumps(TarImages(shards, [shards[0].whole[::2], shards[1].whole[1:3]])))
    assert len(images) == 7
    assert [images[i] for i in (6, 0, 4)] == [b"image 12", b"image 0", b"image 8"]


def test_samples_that_lack_a_part_are_told_apart(tmp_path):
    shard = read_shard(write(tmp_path / "a.tar", [*pair(0), *pair(1)[:1], *pair(2)[1:], *pair(3)]))
    assert len(shard) == 4 and shard.whole.tolist() == [0, 3]


def test_a_caption_that_says_nothing_is_none_and_a_class_is_no_caption(tmp_path):
    members = [*pair(0), *pair(1, "  "), pair(2)[0], ("in/00002.cls", b"7"), *pair(3), ("in/00003.cls", b"8")]
    shard = read_shard(write(tmp_path / "a.tar", members))
    assert shard.whole.tolist() == [0, 3] and shard.labels == (None, None, "7", "8")


def test_an_index_is_kept_until_the_file_changes(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "a.tar", pair(0))
    read_shard(path)
    assert not any(cache.rglob("shards/*"))  # it could change once more and look the same
    monkeypatch.setattr(stamps, "GRANULARITY_NS", -1_000_000_000)  # as if two seconds had passed
    first = read_shard(path)
    with monkeypatch.context() as patched:
        patched.setattr(tarfile, "open", lambda *_: pytest.fail("read again"))
        again = read_shard(path)
    assert again.sha256 == first.sha256 and again.keys == first.keys and (again.places == first.places).all()
    write(path, [*pair(0, "another"), *pair(1)])
    assert read_shard(path).captions == ("another", "a cup")
    for kept in cache.rglob("shards/*"):
        kept.write_bytes(b"PAR1 garbage")
    assert read_shard(path).captions == ("another", "a cup")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:1800]), "cut off"),
        (lambda p: p.write_bytes(b"no tar" * 500 + bytes(1024)), "can't be read"),
        (lambda p: p.write_bytes(b""), "cut off"),
        (lambda p: write(p, [*pair(0), ("in/00000.png", b"again")]), "has one already"),
        (lambda p: write(p, [*pair(0), ("in/00000.txt", b"again")]), "has one already"),
    ],
)
def test_damage_is_named(tmp_path, damage, words):
    path = write(tmp_path / "a.tar", pair(0))
    damage(path)
    with pytest.raises(BenchmarkError, match=words):
        read_shard(path)


def test_a_file_that_shrinks_while_it_is_used_is_noticed(tmp_path):
    path = write(tmp_path / "a.tar", pair(0))
    images = TarImages([read_shard(path)])
    os.truncate(path, 514)
    with pytest.raises(OSError, match="shorter"):
        images[0]


def test_patterns_name_files_in_order_and_all_must_be_there(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number:05d}.tar", pair(number))
    assert [p.name for p in expand(f"{tmp_path}/{{00000..00002}}.tar")] == ["00000.tar", "00001.tar", "00002.tar"]
    with pytest.raises(BenchmarkError, match=r"00003\.tar is missing \(1 of 4"):
        expand(f"{tmp_path}/{{00000..00003}}.tar")
    with pytest.raises(UsageError, match="Patterns look like"):
        expand("shards/{00..99.tar")
