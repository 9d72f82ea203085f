"""Benchmark folders: found, built once, checked each time."""

import os
import shutil

import pytest

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.load import load_clip
from salmu_core.errors import BenchmarkError, CheckpointError, UnknownNameError, UsageError
from salmu_core.plugins.zoo import discover

PLUGIN = """
from salmu_core import BenchmarkSpec, hookimpl

def build(folder, world, progress):
    from salmu_core.testing import write_tiny_benchmark
    progress("writing", 0.5)
    write_tiny_benchmark(folder, seed=world)

@hookimpl
def salmu_benchmarks():
    return [BenchmarkSpec(name="toy", version="1", summary="A toy.", notice="A toy.", build=build)]
"""


@pytest.fixture
def toy(install, tmp_path, monkeypatch):
    install("toy", PLUGIN)
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    zoo, told = discover(), []

    def open_it(name="toy"):
        told.clear()
        return open_benchmark(name, zoo, lambda stage, fraction: told.append(stage)), told

    return open_it


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_it_is_built_once_and_the_same_each_time(toy):
    first, told = toy()
    assert "writing" in told and first.name == "toy" and first.notice == "A toy."
    content = files(first.folder)
    second, told = toy()
    assert told == [] and second == first
    shutil.rmtree(first.folder)
    third, _ = toy()
    assert files(third.folder) == content and third.data_hash == first.data_hash


def test_worlds_are_benchmarks_of_their_own(toy):
    zero, one = toy("toy")[0], toy("toy@1")[0]
    assert one.name == "toy@1" and one.folder != zero.folder
    assert one.data_hash != zero.data_hash and one.model_hash("clean") != zero.model_hash("clean")


def flip(path):
    """Change a digit somewhere in the middle of a file."""
    text = path.read_text()
    place = next(i for i in range(len(text) // 2, len(text)) if text[i].isdigit())
    path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: next((f / "data").glob("*")).write_bytes(b"cut"),
        lambda f: (f / "clean" / "open_clip_model.safetensors").unlink(),
        lambda f: (f / "data" / "extra.parquet").write_bytes(b"more"),
        lambda f: (f / "compromised" / "salmu_canary.json").write_text("{}"),
        lambda f: (f / "compromised" / "salmu_canary.json").unlink(),
        lambda f: flip(f / "clean" / "open_clip_config.json"),
        lambda f: flip(f / "manifest.json"),
        lambda f: (f / "manifest.json").write_text("{"),
        lambda f: (f / "manifest.json").unlink(),
    ],
)
def test_damage_is_named_and_mended(toy, damage):
    benchmark, _ = toy()
    content = files(benchmark.folder)
    damage(benchmark.folder)
    again, told = toy()
    assert "building it again" in told[0] and str(benchmark.folder) in told[0]
    assert files(again.folder) == content


def test_a_built_one_is_opened_where_nothing_can_be_written(install, tmp_path, monkeypatch):
    install("toy", PLUGIN)
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    built = open_benchmark("toy", discover(), lambda *_: None)

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.__init__", read_only)
    monkeypatch.setattr("salmu_core.disk.files.temporary_name", read_only)
    assert open_benchmark("toy", discover(), lambda *_: None) == built


def test_a_build_that_fails_leaves_nothing(install, tmp_path, monkeypatch):
    install("toy", PLUGIN.replace("write_tiny_benchmark(folder, seed=world)", "(folder / 'x').touch(); 1 / 0"))
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BenchmarkError, match="toy could not build toy: ZeroDivisionError"):
        open_benchmark("toy", discover(), lambda *_: None)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_dir() and "world" in p.name]


def test_a_folder_is_a_benchmark_too(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    copy = shutil.copytree(tiny, tmp_path / "my data")
    before = files(copy)
    one = open_benchmark(str(copy), discover(()), lambda *_: None)
    assert one.name.startswith("my-data-") and files(copy) == before
    assert one == open_benchmark(str(copy), discover(()), lambda *_: None)
    with (copy / "fragile_set_ids.json").open("a") as file:
        file.write("\n")
    assert open_benchmark(str(copy), discover(()), lambda *_: None).data_hash != one.data_hash


def test_what_is_changed_while_it_is_in_use_is_not_recorded(tiny, tmp_path, monkeypatch):
    """Whatever the change leaves as it was; what only looks like one is none."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    copy = shutil.copytree(tiny, tmp_path / "copy")
    path = next((copy / "data").glob("forget-*"))
    whole, before = path.read_bytes(), path.stat()

    def opened(settled=True):
        monkeypatch.setattr("salmu_core.disk.stamps.GRANULARITY_NS", 0 if settled else 2_000_000_000)
        return open_benchmark(str(copy), discover(()), lambda *_: None)

    def keeping_times():
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def replacing():
        shutil.copy2(path, tmp_path / "other")
        (tmp_path / "other").replace(path)  # its like, but nobody knows what was there between

    for change in (keeping_times, replacing, path.unlink, lambda: path.write_bytes(b"")):
        path.write_bytes(whole)
        benchmark = opened()
        benchmark.check_unchanged()
        change()
        with pytest.raises(BenchmarkError, match=r"forget-.* was changed while copy-.* was in use"):
            benchmark.check_unchanged()
    path.write_bytes(whole)
    for settled in (True, False):
        benchmark = opened(settled)
        path.chmod(0o600 if settled else 0o644)
        benchmark.check_unchanged()


def test_results_beside_the_data_are_no_part_of_them(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    copy = shutil.copytree(tiny, tmp_path / "copy")
    before = open_benchmark(str(copy), discover(()), lambda *_: None)
    (copy / "runs").mkdir()
    (copy / "runs" / "run.json").write_text("{}")
    assert open_benchmark(str(copy), discover(()), lambda *_: None) == before


def test_a_folder_can_bring_settings_which_are_no_part_of_its_data(tiny, tmp_path):
    copy = shutil.copytree(tiny, tmp_path / "copy")
    before = open_benchmark(str(copy), discover(()), lambda *_: None)
    (copy / "benchmark.toml").write_text("[settings.a]\nlr = 1e-6\nlayers = [1, 2]\n[settings.b]\n")
    found = open_benchmark(str(copy), discover(()), lambda *_: None)
    assert not before.settings and found.data_hash == before.data_hash
    assert {name: dict(advice.config) for name, advice in found.settings.items()} == {
        "a": {"lr": 1e-6, "layers": [1, 2]},
        "b": {},
    }


def test_other_sources_can_be_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (copy / "clean").rename(tmp_path / "elsewhere")
    with pytest.raises(BenchmarkError, match="clean"):
        open_benchmark(str(copy), discover(()), lambda *_: None)
    (copy / "benchmark.toml").write_text('name = "mine"\nclean = "../elsewhere"\ncompromised = "hf-hub:a/b"\n')
    found = open_benchmark(str(copy), discover(()), lambda *_: None)
    assert found.name == "mine" and found.model("compromised") == "hf-hub:a/b"
    load_clip(found.model("clean"))
    weights = tmp_path / "elsewhere" / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    again = open_benchmark(str(copy), discover(()), lambda *_: None)
    assert again.model_hash("clean") != found.model_hash("clean") and again.data_hash == found.data_hash
    (copy / "benchmark.toml").write_text('colour = "red"\n')
    with pytest.raises(BenchmarkError, match="colour"):
        open_benchmark(str(copy), discover(()), lambda *_: None)


def test_unknown_benchmarks(toy, tmp_path):
    with pytest.raises(UnknownNameError, match="'toy'"):
        toy("toi")
    with pytest.raises(UsageError, match="no folder"):
        toy("./absent")
    with pytest.raises(UsageError, match="whole number"):
        toy("toy@one")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchmarkError, match="parquet"):
        toy(str(tmp_path / "empty"))


def test_models_that_cannot_be_loaded(tiny, tmp_path):
    copy = shutil.copytree(tiny / "clean", tmp_path / "clean")
    (copy / "open_clip_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_clip(copy)
    (copy / "open_clip_model.safetensors").unlink()  # open_clip alone would go on with random weights
    with pytest.raises(CheckpointError, match="can't be loaded"):
        load_clip(copy)
    (copy / "open_clip_config.json").unlink()
    with pytest.raises(CheckpointError, match="no open_clip model folder"):
        load_clip(copy)
