"""A published benchmark whose files are here: checked to the byte and the row, and held against its figures."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fake_hub import digest
from huggingface_hub import constants
from pydantic import ValidationError

from salmu_core import Band, BenchmarkSpec
from salmu_core.benchmark.download.fetch import download
from salmu_core.benchmark.folder import open_benchmark, recommended
from salmu_core.contract.specs import HubRepo, Release
from salmu_core.errors import BenchmarkError, UnknownNameError, UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.score.scorer import Scorer
from salmu_core.testing.doctor import figures

pytest_plugins = ["published_fixtures"]
RUN = ("negative-gradient", "--benchmark", "published", "--set", "negative-gradient.batch_size=8")
SHARD = "data/forget-00000-of-00001.parquet"


# From a cache laid out by hand


@pytest.mark.parametrize("ref", [True, False])
def test_a_copied_cache_is_enough(here, repositories, tiny, ref):
    for repository in repositories.values():
        repository.lay_out(here.cache, ref)
    found = here.get()
    assert not any(snapshot.fetched for snapshot in found.snapshots.values()) and found.laid_out
    opened = here.open()
    assert opened.name == "published" and opened.sources.num_train == 1000 and not opened.zeroshot.is_dir()
    assert opened.data.joinpath(SHARD).read_bytes() == tiny.joinpath(SHARD).read_bytes()
    assert not any(name.startswith("zeroshot/") or "README" in name for name in opened.hashes)
    assert {name for name in opened.hashes if name.startswith("clean/")} == {
        "clean/open_clip_config.json",
        "clean/open_clip_model.safetensors",
    }
    before = {path: path.lstat().st_mtime_ns for path in found.folder.rglob("*")}
    here.get()
    assert {path: path.lstat().st_mtime_ns for path in found.folder.rglob("*")} == before
    assert here.get(zeroshot=tiny / "zeroshot").zeroshot == tiny / "zeroshot"
    assert here.open().zeroshot == tiny / "zeroshot" and "zeroshot/test/0.tar" in here.open().hashes


def test_where_it_lies_is_no_part_of_the_data(laid, repositories, tmp_path, monkeypatch):
    laid.get()
    one = laid.open()
    shutil.copytree(laid.cache, tmp_path / "elsewhere", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "other cache"))
    laid.get()
    two = laid.open()
    assert one.folder != two.folder and one.hashes == two.hashes
    assert (one.data_hash, one.model_hash("clean")) == (two.data_hash, two.model_hash("clean"))


def test_it_recommends_what_its_declaration_does_downloaded_or_not(laid):
    before = recommended("published", laid.zoo)
    assert (dict(before["finetuning"].config), before["finetuning"].budget) == ({"lr": 1e-7}, 2)
    laid.get()
    assert laid.open().settings == before


def test_metrics_are_computed_as_its_declaration_sets_them(laid):
    laid.get()
    benchmark, name = laid.open(), "RetFail"
    scorer = Scorer(benchmark, [laid.zoo.metrics[name]], torch.device("cpu"))
    scored = scorer.compute(benchmark.model("clean"), benchmark.model_hash("clean"), lambda *_: None)
    assert scored.record.metrics[name].details["draw"] == "rows" and scored.record.metrics[name].error is None
    plain = replace(benchmark, sources=benchmark.sources.model_copy(update={"metrics": {}}))
    assert plain.data_hash != benchmark.data_hash == scored.record.data_hash
    wrong = benchmark.sources.model_copy(update={"metrics": {name: {"draw": "all"}, "AssocStr": {"draw": "rows"}}})
    metrics = [laid.zoo.metrics[name], laid.zoo.metrics["AssocStr"]]
    scorer = Scorer(replace(benchmark, sources=wrong), metrics, torch.device("cpu"))
    errors = scorer.compute(benchmark.model("clean"), "", lambda *_: None).record.errors
    assert "sets {'draw': 'all'}" in errors[name] and "distinct or rows" in errors[name]
    assert "AssocStr, which takes no settings" in errors["AssocStr"]


def test_plain_copies_do_and_are_told(laid, tmp_path, monkeypatch):
    shutil.copytree(laid.cache, tmp_path / "plain")  # links become files
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "plain"))
    shown = laid.get().as_json()["repositories"]
    assert [each["unverified"] for each in shown.values()] == [9, 2, 2]


def test_blobs_that_several_repositories_share_are_known_by_their_names(laid, tmp_path):
    """The client can keep large files in one place, and blobs that link to it."""
    (tmp_path / "store").mkdir()
    for number, blob in enumerate(sorted(laid.cache.rglob("blobs/*"))):
        blob.rename(tmp_path / "store" / str(number))
        blob.symlink_to(tmp_path / "store" / str(number))
    shown = laid.get().as_json()["repositories"]
    assert [each["unverified"] for each in shown.values()] == [0, 0, 0]


def test_a_check_writes_nothing_and_sees_all(laid, repositories, tmp_path):
    found = laid.get(check=True)
    assert not found.laid_out and not found.folder.exists()
    laid.get()
    weights = laid.cache / "models--an-owner--clean" / "blobs"
    blob = weights / digest("x.safetensors", repositories["clean"].files["open_clip_model.safetensors"])
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-10])
    with pytest.raises(BenchmarkError, match=r"Delete this file .*published.* again") as caught:
        laid.get(check=True)
    assert str(blob) in str(caught.value)
    with pytest.raises(
        BenchmarkError, match=r"open_clip_model.safetensors has changed since .*salmu download published"
    ):
        laid.open()
    blob.unlink()
    with pytest.raises(
        BenchmarkError, match=r"1 of 2 files of an-owner/clean are missing.*copy the Hugging Face cache"
    ):
        laid.get()
    with pytest.raises(BenchmarkError, match="safetensors is missing since"):
        laid.open()
    blob.write_bytes(whole)
    laid.get()
    laid.open()


@pytest.mark.parametrize(
    ("role", "path", "change", "message"),
    [
        ("data", "fragile_set_ids.json", None, "fragile_set_ids.json is missing"),
        ("data", "identities_metadata.json", b"{", "identities_metadata.json can't be read"),
        ("data", "fragile_set_ids.json", b"{}", "it holds a dict, not a list"),
        ("data", "data/holdout_identity-00000-of-00001.parquet", None, "has no holdout_identity-*.parquet"),
        ("data", SHARD, b"no parquet", "can't be read as a parquet shard"),
        ("clean", "open_clip_config.json", None, "open_clip_config.json is missing"),
        ("clean", "open_clip_config.json", b"{}", "describes no open_clip model"),
        ("compromised", "open_clip_model.safetensors", None, "lacks its weights"),
    ],
)
def test_what_is_missing_is_said(here, repositories, published, role, path, change, message):
    files = repositories[role].files
    files[path] = change
    if change is None:
        del files[path]
    for repository in repositories.values():
        repository.lay_out(here.cache)
    published(revision="main")
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        download("published", discover(), lambda *_: None)


def test_other_people_or_another_number_of_shards_are_caught(here, repositories, published, tiny, tmp_path):
    published(revision="main")
    table = pq.read_table(tiny / SHARD)
    people = pa.array(["00000000" if p == "00000001" else p for p in table["identity_id"].to_pylist()])
    changed = tmp_path / "other.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index("identity_id"), "identity_id", people), changed)
    files = repositories["data"].files
    for name, message in (
        (SHARD, "shows 5 people, not the 6"),
        ("data/forget-00000-of-00002.parquet", "speak of 00002"),
    ):
        del files[SHARD]
        files[name] = changed.read_bytes()
        shutil.rmtree(here.cache, ignore_errors=True)
        for repository in repositories.values():
            repository.lay_out(here.cache)
        with pytest.raises(BenchmarkError, match=message):
            download("published", discover(), lambda *_: None)


def test_requests_that_make_no_sense(laid, tiny, tmp_path):
    with pytest.raises(UsageError, match="a published release, of one world only"):
        open_benchmark("published@3", laid.zoo, lambda *_: None)
    with pytest.raises(UnknownNameError, match="'published'"):
        download("publishd", laid.zoo, lambda *_: None)
    with pytest.raises(UsageError, match="made on this machine"):
        download("mini", laid.zoo, lambda *_: None)
    with pytest.raises(UsageError, match="is a folder"):
        download(str(tiny), laid.zoo, lambda *_: None)
    with pytest.raises(UsageError, match="there is no folder"):
        laid.get(zeroshot=tmp_path / "absent")
    with pytest.raises(BenchmarkError, match=r"no zero-shot set .*classnames.txt"):
        laid.get(zeroshot=tmp_path)
    with pytest.raises(UsageError, match="no revision of"):
        laid.get(revisions={"clean": "a b"})


def test_a_zero_shot_set_that_was_brought_and_is_gone(laid, tiny, tmp_path):
    copy = shutil.copytree(tiny / "zeroshot", tmp_path / "set")
    (tmp_path / "shards").mkdir()
    (copy / "test").rename(tmp_path / "shards" / "test")
    (copy / "test").symlink_to(tmp_path / "shards" / "test")
    laid.get(zeroshot=copy)
    tar = tmp_path / "shards" / "test" / "0.tar"
    assert "zeroshot/test/0.tar" in laid.open().hashes
    tar.write_bytes(tar.read_bytes() + b" ")
    with pytest.raises(BenchmarkError, match=r"test/0.tar has changed since"):
        laid.open()
    shutil.rmtree(copy)
    with pytest.raises(BenchmarkError, match=r"classnames.txt is missing since"):
        laid.open()
    with pytest.raises(BenchmarkError, match="of an earlier time"):
        laid.get()


def test_without_it_every_way_in_says_how_to_get_it(salmu, published, tmp_path):
    published()
    for words, code, message in [
        (("download", "published", "--revision", "weights=main"), 2, "data=REVISION"),
        (("download", "published"), 1, "is not in the Hugging Face cache"),
        (("run", *RUN), 1, "published is not on this machine. `salmu download published`"),
    ]:
        done = salmu(*words, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hf"))
        assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    (listed,) = [item for item in json.loads(salmu("benchmarks", "--json").stdout) if item["name"] == "published"]
    assert listed["state"] == "not downloaded: salmu download published" and not listed["built"]


def test_a_folder_of_ones_own_can_announce_counts(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    copy, zoo = shutil.copytree(tiny, tmp_path / "copy"), discover(())
    toml = "[rows]\nforget = {}\nforget_association = {}\n[identities]\nforget_identity = 2\nretain_synth = 4\n"
    (copy / "benchmark.toml").write_text(toml.format(16, 8))
    open_benchmark(str(copy), zoo, lambda *_: None)
    for counts, message in (((17, 8), "forget in .* 16 rows, not the 17"), ((16, 9), "forget_association .* 8 rows")):
        (copy / "benchmark.toml").write_text(toml.format(*counts))
        with pytest.raises(BenchmarkError, match=message):
            open_benchmark(str(copy), zoo, lambda *_: None)
    (copy / "benchmark.toml").write_text("[rows]\nforgot = 3\n")
    with pytest.raises(BenchmarkError, match="'forgot' can't be counted"):
        open_benchmark(str(copy), zoo, lambda *_: None)


def test_a_benchmark_is_built_or_published_and_not_both():
    facts = {"name": "one", "version": "1", "summary": "A test."}
    repo = HubRepo(repo_id="an-owner/it", kind="model", files=("*",))
    release = Release(data=repo, clean=repo, compromised=repo, num_train=1)
    BenchmarkSpec(**facts, release=release)
    for given in ({}, {"release": release, "build": print}):
        with pytest.raises(ValidationError, match="exactly one of 'build' and 'release'"):
            BenchmarkSpec(**facts, **given)
    with pytest.raises(ValidationError, match="rows of 'fragile_set' can't be counted"):
        Release(data=repo, clean=repo, compromised=repo, num_train=1, rows={"fragile_set": 3})
    for wrong in ({"repo_id": "no-owner"}, {"revision": "a b"}, {"files": ()}):
        with pytest.raises(ValidationError):
            HubRepo(**{"repo_id": "an-owner/it", "kind": "model", "files": ("*",), **wrong})


# Against the published figures


def test_the_doctor_holds_the_models_against_the_published_figures(salmu, published, repositories, tmp_path):
    env = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    for repository in repositories.values():
        repository.lay_out(tmp_path / "hub", ref=False)
    band = 'Band.around("clean", "{}", {!r}, 0.002, "Think of the weather"), '
    published(band.format("AssocStr", 5.0) + band.format("GenKnow", 0.633))
    assert salmu("download", "published", **env).returncode == 0
    off = salmu("doctor", "--benchmark", "published", "--json", **env)
    assert off.returncode == 1
    (wrong,) = [each for each in json.loads(off.stdout) if not each["sound"]]
    assert wrong["subject"] == "Clean AssocStr" and wrong["published"] == 5.0
    assert "more than 0.002. Think of the weather" in wrong["text"]
    value = wrong["measured"]
    published(band.format("AssocStr", value + 0.0015) + band.format("GenKnow", 0.633))
    well = salmu("doctor", "--benchmark", "published", **env)
    assert well.returncode == 0, well.stdout
    lines = [line.split() for line in well.stdout.splitlines() if re.search("Clean +(AssocStr|GenKnow)", line)]
    assert lines[0][:6] == ["ok", "Clean", "AssocStr", f"{value:.6f}", f"{value + 0.0015:.6f}", "-0.001500"]
    assert lines[1][:5] == ["-", "Clean", "GenKnow", "-", "0.633000"]
    assert "All is well; 1 published figures were not measured." in well.stdout
    assert "salmu download published --zeroshot PATH" in " ".join(well.stdout.split())


@pytest.mark.parametrize(
    ("off", "sound"), [(0, True), (0.0019, True), (-0.0019, True), (0.003, False), (-0.003, False)]
)
def test_a_published_figure_is_held_within_its_tolerance(off, sound):
    band = Band.around("compromised", "ACS", 0.951, 0.002, "The split is ours")
    scored = {"compromised": SimpleNamespace(values={"ACS": 0.951 + off}, errors={})}
    (found,) = figures([band], scored)
    assert found.sound is sound and f"difference {off:+.6f}" in found.text
    assert found.text.endswith("within 0.002" if sound else "more than 0.002. The split is ours")
    assert found.as_json()["measured"] == 0.951 + off


def test_what_can_not_be_measured_here_is_not_wrong_and_an_error_is():
    bands = [Band.around("clean", "GenKnow", 0.633, 0.002), Band.around("clean", "ACS", 0.6, 0.002)]
    scored = {"clean": SimpleNamespace(values={}, errors={"ACS": "it fell over"})}
    blank, error, missing = sorted(figures(bands, scored, {"GenKnow": "no pictures"}), key=lambda f: not f.sound)
    assert blank.sound and blank.text == "not measured: no pictures" and blank.as_json()["measured"] is None
    assert not error.sound and "it fell over" in error.text and not missing.sound and "not measured" in missing.text
