"""Folders of results between machines that share none, and what is asked for wrongly."""

import pytest
from salmu_ray.engine import Ray
from salmu_ray.files import lay, read

from salmu_core.errors import MachineError, UsageError
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store
from salmu_core.study.engine import Order
from salmu_core.study.resources import Resources


def written(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_run_goes_whole_and_later_only_what_is_new(tmp_path):
    there, here = written(tmp_path / "there", run_json="{}", weights="w"), tmp_path / "here"
    lay(here, read(there))
    assert {path.name for path in here.iterdir()} == {"run.json", "weights"}
    stats = [(path.name, path.stat()) for path in there.iterdir()]
    known = {f"m/x/{name}": (stat.st_mtime_ns, stat.st_size) for name, stat in stats}
    written(there, metrics_json="[]", rows="r", attacks__probe__0a__attack_json="{}", attacks__probe__0a__rows="q")
    new = read(there, known, "m/x")
    assert set(new) == {"metrics.json", "rows", "attacks/probe/0a/attack.json", "attacks/probe/0a/rows"}
    (here / "stays").touch()
    lay(here, new)
    assert read(here) == read(there) | {"stays": b""}


def test_a_run_that_is_made_again_leaves_nothing_of_the_one_before(tmp_path):
    here = written(tmp_path / "here", run_json="old", metrics_json="old")
    lay(here, {"run.json": b"new"})
    assert read(here) == {"run.json": b"new"}


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out"])
def test_no_file_leaves_its_folder(tmp_path, name):
    with pytest.raises(ValueError, match="do not lie in"):
        lay(tmp_path / "here", {"run.json": b"", name: b""})
    assert not [*tmp_path.rglob("*")]


def test_hidden_files_stay_where_they_are(tmp_path):
    assert read(written(tmp_path, **{".lock": "x", "a__.b__c": "y", "rows": "r"})) == {"rows": b"r"}


@pytest.mark.parametrize(
    ("settings", "words"), [({"cpu": 1}, "cpu"), ({"cpus": -1}, "cpus"), ({"resources": 3}, "resources")]
)
def test_settings_that_make_no_sense_are_named(settings, words):
    with pytest.raises(UsageError, match=rf"\[engine.ray\].*{words}"):
        Ray("", settings)


def test_a_cluster_that_is_not_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    order = Order(None, [], Store(tmp_path), Resources(), 1, 1, {})
    with pytest.raises(MachineError, match=r"--on ray: no cluster can be reached at 127\.0\.0\.1:1: "):
        Ray("127.0.0.1:1", {}).work(order, Reporter())
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(("mode", "told"), [(None, True), ("token", False)])
def test_a_client_that_is_kept_waiting_is_told_of_the_token(tmp_path, monkeypatch, mode, told):
    def init(*words, **facts):
        raise ConnectionError("ray client connection timeout")

    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setattr("salmu_ray.engine._look_for", lambda address: None)
    monkeypatch.setattr("ray.init", init)
    with pytest.raises(MachineError) as caught:
        Ray("ray://head:10001", {}).work(Order(None, [], Store(tmp_path), Resources(), 1, 1, {}), Reporter())
    assert ("set RAY_AUTH_MODE=token" in str(caught.value)) == told
