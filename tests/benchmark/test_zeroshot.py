import shutil
import tarfile

import pytest

from salmu_core.benchmark.zeroshot import read_zeroshot
from salmu_core.errors import BenchmarkError


@pytest.fixture
def folder(tiny, tmp_path):
    return shutil.copytree(tiny / "zeroshot", tmp_path / "zeroshot")


def test_every_sample_of_every_shard_is_read(folder):
    expected = {}
    for path in sorted((folder / "test").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                expected.setdefault(key, {})[kind] = tar.extractfile(member).read()
    found = read_zeroshot(folder)
    assert len(found.keys) == 12 and set(found.keys) == set(expected)
    for key, image, label in zip(found.keys, found.encoded, found.labels, strict=True):
        assert expected[key]["webp"] == image and int(expected[key]["cls"]) == label


def test_a_missing_shard_is_no_smaller_benchmark(folder):
    (folder / "test" / "1.tar").unlink()
    with pytest.raises(BenchmarkError, match=r"1\.tar is missing"):
        read_zeroshot(folder)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("classnames.txt", "", "is empty"),
        ("classnames.txt", "circle\n", "valid class"),
        ("zeroshot_classification_templates.txt", "a photo\n", "template"),
        ("test/nshards.txt", "two\n", "number of shards"),
    ],
)
def test_damage_is_named(folder, file, text, words):
    (folder / file).write_text(text)
    with pytest.raises(BenchmarkError, match=words):
        read_zeroshot(folder)


@pytest.mark.parametrize("kept", [0.1, 0.33, 0.5])
def test_a_truncated_shard_is_no_smaller_benchmark(folder, kept):
    path = folder / "test" / "0.tar"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(BenchmarkError):
        read_zeroshot(folder)
