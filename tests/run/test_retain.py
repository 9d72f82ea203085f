"""A user's own retain pairs: how they are mixed in, and what is said of it."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from rich.console import Console

from salmu_core import MethodSpec
from salmu_core.benchmark import retain
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.retain import Stream
from salmu_core.benchmark.splits import read_training
from salmu_core.clip.load import load_clip
from salmu_core.contract.config import TrainingConfig
from salmu_core.disk import notes
from salmu_core.errors import BenchmarkError, MethodError
from salmu_core.judge.compare import compare
from salmu_core.judge.results import read_results
from salmu_core.plugins.zoo import discover
from salmu_core.run.inputs import Inputs
from salmu_core.run.pool import Pool
from salmu_core.run.runner import run_one
from salmu_core.run.session import TrainingSession
from salmu_core.show import terminal
from salmu_core.show.table import table
from salmu_core.store.folders import Store
from salmu_core.train.order import CHUNK, streamed


def write(path, numbers):
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            buffer = io.BytesIO()
            Image.new("RGB", (20, 24), (number % 256, 99, 7)).save(buffer, "png")
            for suffix, content in (("png", buffer.getvalue()), ("txt", f"web pair {number}".encode())):
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """700 pairs in two shards, and a sample without an image."""
    folder = tmp_path_factory.mktemp("shards")
    write(folder / "00000.tar", range(400))
    write(folder / "00001.tar", range(400, 700))
    with tarfile.open(folder / "00001.tar", "a") as tar:
        member = tarfile.TarInfo("lonely.txt")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hm"))
    return f"{folder}/{{00000..00001}}.tar"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))


def pool(tiny, shards, share):
    clip = load_clip(tiny / "compromised")
    stream = Stream.open([shards], share, lambda *_: None)
    own, streamed = Inputs(read_training(tiny).retain, clip), Inputs(stream.rows, clip, streamed=True)
    return Pool("retain", own, clip, torch.device("cpu"), stream=stream, streamed=streamed), stream


@pytest.mark.parametrize(("n", "batch"), [(700, 7), (700, 64), (CHUNK, CHUNK), (3 * CHUNK + 1, 50), (5, 5), (9, 2)])
def test_an_epoch_of_a_stream_shows_every_row_once_but_for_the_last_batch(n, batch):
    steps = n // batch
    epoch = [streamed(n, batch, step, "seed", 1) for step in range(2 * steps)]
    for half in (epoch[:steps], epoch[steps:]):
        rows = np.concatenate(half)
        assert len(rows) == len(set(rows.tolist())) == steps * batch and set(rows.tolist()) <= set(range(n))
    assert steps == 1 or not all((a == b).all() for a, b in zip(epoch[:steps], epoch[steps:], strict=True))
    assert (streamed(n, batch, steps, "seed", 1) == epoch[steps]).all()
    assert batch < 5 or not (streamed(n, batch, 0, "seed", 2) == epoch[0]).all()


def test_neighbours_in_a_stream_are_neighbours_in_the_files():
    """What the original embeds by the chunk is used while it is at hand."""
    drawn = np.concatenate([streamed(10 * CHUNK, 16, step, "seed") for step in range(CHUNK // 16)])
    assert len(np.unique(drawn // CHUNK)) == 1


@pytest.mark.parametrize(("share", "expected"), [(0.5, 8), (0.25, 4), (1.0, 16), (0.9, 14)])
def test_every_batch_has_the_stated_share(tiny, shards, share, expected):
    mixed, _ = pool(tiny, shards, share)
    own = 32
    for step in range(4):
        rows = mixed.draw(16, step, 0, "retain", "fit")
        assert (rows >= own).sum() == expected and len(set(rows.tolist())) == 16
        captions = [mixed.captions[i] for i in rows]
        assert sum(c.startswith("web pair") for c in captions) == expected
        assert not set(rows.tolist()) & set(mixed.probed.tolist())
    assert (mixed.draw(16, 2, 0, "retain", "fit") == mixed.draw(16, 2, 0, "retain", "fit")).all()


def test_images_tokens_and_the_originals_embeddings_belong_to_their_rows(tiny, shards):
    mixed, _ = pool(tiny, shards, 0.5)
    rows = mixed.draw(8, 3, 1, "retain", "fit")
    images, tokens = mixed.images(rows), mixed.tokens(rows)
    clip = load_clip(tiny / "compromised")
    for row, image, ids in zip(rows, images, tokens, strict=True):
        assert (ids == clip.tokenize([mixed.captions[row]])[0]).all()
        if row >= 32:
            flat = Image.new("RGB", (20, 24), ((row - 32) % 256, 99, 7))
            assert (image == clip.normalize(torch.from_numpy(clip.to_pixels(flat)))).all()
    found = mixed.reference_features(rows)
    with torch.no_grad():
        assert torch.allclose(found.image, clip.model.encode_image(images, normalize=True), atol=1e-5)
        assert torch.allclose(found.text, clip.model.encode_text(tokens, normalize=True), atol=1e-5)


def test_one_pass_ends_when_the_first_of_both_has_been_seen(tiny, shards):
    mixed, _ = pool(tiny, shards, 0.5)
    rows = np.concatenate(list(mixed.one_pass(8, 0, "pass")))
    assert len(rows) == len(set(rows.tolist())) == 8 * (29 // 4)
    with pytest.raises(MethodError, match="too few"):
        mixed.draw(200, 0)
    assert mixed.room(200) == 59 and mixed.room(16) == 16


@pytest.mark.parametrize(("share", "batch"), [(0.03, 16), (0.98, 16), (0.5, 1)])
def test_a_share_that_is_no_whole_pair_is_an_error_and_not_another_share(tiny, shards, share, batch):
    mixed, _ = pool(tiny, shards, share)
    with pytest.raises(MethodError, match="retain-share"):
        mixed.draw(batch, 0)


def test_too_few_pairs_for_a_batch_are_an_error_and_no_smaller_batch(tiny, tmp_path):
    write(tmp_path / "few.tar", range(3))
    mixed, _ = pool(tiny, str(tmp_path / "few.tar"), 0.5)
    assert mixed.room(6) == 6
    with pytest.raises(MethodError, match="hold 3 pairs, and a batch of 16 takes 8"):
        mixed.room(16)


def write_some_broken(path, broken, names="{:05d}", n=64):
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as tar:
        for number in range(n):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(buffer, "png")
            picture = b"<html>404 not found</html>" if number in broken else buffer.getvalue()
            for suffix, content in (("png", picture), ("txt", f"web pair {number}".encode())):
                member = tarfile.TarInfo(f"{names.format(number)}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def test_shards_of_broken_pictures_end_before_anything_is_unlearned(salmu, tiny, tmp_path):
    write_some_broken(tmp_path / "bad.tar", range(0, 64, 16))
    done = salmu("run", "finetuning", "--benchmark", tiny, "--retain", str(tmp_path / "bad.tar"), "--processes", "1")
    assert done.returncode == 1 and "4 of 64 pictures" in done.stderr and "'bad/00000'" in done.stderr
    assert not list(salmu.folder.rglob("run.json"))


def test_a_pair_whose_picture_is_broken_is_replaced_by_the_next_and_counted(tiny, tmp_path):
    write_some_broken(tmp_path / "web.tar", (6, 7))
    mixed, stream = pool(tiny, str(tmp_path / "web.tar"), 1.0)
    assert mixed.sound(np.array([38, 40, 50])).tolist() == [41, 40, 50]  # 39 is as broken, 40 is there
    assert mixed.sound(np.array([0, 1, 33])).tolist() == [0, 1, 33]
    images, features = mixed.images(np.array([41])), mixed.reference_features(np.array([41]))
    with torch.no_grad():  # though what is embedded with it is broken
        model = load_clip(tiny / "compromised").model
        assert torch.allclose(features.image, model.encode_image(images, normalize=True), atol=1e-5)

    seen = []

    def loss(ctx, step):
        seen.append((step.retain.captions, step.retain.index.tolist()))
        return ctx.features(step.retain).pair_similarity.mean()

    spec = MethodSpec(name="some", summary="s", paper="https://example.org", config=TrainingConfig, loss=loss)
    benchmark, place = open_benchmark(str(tiny), discover(()), lambda *_: None), Accelerator(cpu=True)
    session = TrainingSession.open(benchmark, place, stream)
    outcome = run_one(spec, TrainingConfig(batch_size=8), 8, 0, session, place)
    rows = [row for _, index in seen for row in index]
    assert outcome.status == "valid" and len(seen) == 16 and not {38, 39} & set(rows)
    assert all(captions == tuple(f"web pair {row - 32}" for row in index) for captions, index in seen)
    assert all(len(set(index)) == 8 for _, index in seen)
    assert outcome.ledger.retain_replaced == 4  # two epochs
    assert outcome.ledger.retain_samples == 128


def test_one_broken_picture_in_a_row_of_many_is_an_error_that_names_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(retain, "MOST_DAMAGED", 1)
    write_some_broken(tmp_path / "web.tar", range(10, 40))
    mixed, _ = pool(tiny, str(tmp_path / "web.tar"), 1.0)
    with pytest.raises(BenchmarkError, match="'web/00010' of split retain stream can't be read"):
        mixed.sound(np.array([42]))


def test_samples_that_are_no_pairs_are_said_and_if_they_are_most_it_is_an_error(tiny, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(notes.LOG, "propagate", True)
    write_some_broken(tmp_path / "dots.tar", (), "{:05d} ratio 1.33")
    with pytest.raises(BenchmarkError, match=r"64 of 64 samples .*dots\.tar are left out.*end at their first dot"):
        Stream.open([str(tmp_path / "dots.tar")], 0.5, lambda *_: None)
    write(tmp_path / "some.tar", range(9))
    with tarfile.open(tmp_path / "some.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("lonely.txt"))
    Stream.open([str(tmp_path / "some.tar")], 0.5, lambda *_: None)
    assert any("1 of 10 samples of your own retain shards are left out" in r.getMessage() for r in caplog.records)


def test_what_was_used_is_told(tiny, shards):
    _, stream = pool(tiny, shards, 0.5)
    used = [(shard.name, shard.pairs, shard.left_out) for shard in stream.record.shards]
    assert used == [("00000.tar", 400, 0), ("00001.tar", 300, 1)]
    assert Stream.open([shards], 1 / 3, lambda *_: None).record.label != stream.record.label
    assert stream.record.label.startswith("0.5 from 700 pairs (")


RUN = ("--benchmark", "./tiny", "--budget", "1", "--json", "--set", "finetuning.batch_size=4")


def test_a_study_with_shards_has_runs_of_its_own_and_says_what_is_in_sample(salmu, tiny, shards):
    shutil.copytree(tiny, salmu.folder / "tiny")
    rows = {}
    for words in ((), ("--retain", shards), ("--retain", shards, "--retain-share", "1")):
        done = salmu("run", "finetuning", "descent-to-delete", *RUN, *words, "--processes", "1")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert len(found["runs"]) == 2
        rows[len(words)] = {line["method"]: line for line in found["lines"]}
        runs = {row["method"]: row for row in found["runs"]}
        command = json.loads((salmu.folder / runs["finetuning"]["folder"] / "run.json").read_text())["command"]
        assert ("--retain" in command) == bool(words)
    assert runs["finetuning"]["retain"]["share"] == 1.0
    assert [s["pairs"] for s in runs["finetuning"]["retain"]["shards"]] == [400, 300]
    assert rows[0]["finetuning"]["in_sample"] == rows[2]["finetuning"]["in_sample"] == ["FragSim", "VisIdInt"]
    assert rows[4]["finetuning"]["in_sample"] == []  # it never drew a pair of retain_synth
    assert all(found["descent-to-delete"]["in_sample"] == [] for found in rows.values())  # it draws nothing at all
    store = Store(salmu.folder / "runs")
    results = read_results(store, store.benchmarks())
    whole = compare(results, results.columns)
    assert len(whole.results.rows) == len({line.label for line in whole.lines}) == 6
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(terminal.render(table(whole, whole.columns)))
    text = console.export_text()
    assert "°" in text and "trained on" in text


def test_the_number_of_processes_shows_in_no_result(salmu, tiny, shards):
    shutil.copytree(tiny, salmu.folder / "tiny")
    words = ("run", "finetuning", *RUN, "--seed", "0-1", "--retain", shards)
    for name, processes in (("one", "1"), ("two", "2")):
        assert salmu(*words, "--processes", processes, "--output", name).returncode == 0
    found = [sorted((salmu.folder / n).rglob("*.safetensors")) for n in ("one", "two")]
    assert len(found[0]) == 2
    assert [p.read_bytes() for p in found[0]] == [p.read_bytes() for p in found[1]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--retain", "nowhere/{0..3}.tar"), "0.tar is missing (4 of 4"),
        (("--retain-share", "0.3"), "--retain"),
        (("--retain", "x.tar", "--retain-share", "1.5"), "share"),
    ],
)
def test_mistakes_are_sentences(salmu, tiny, words, said):
    done = salmu("run", "finetuning", "--benchmark", tiny, *words)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
    assert not list((salmu.folder).glob("runs/*/finetuning"))


def test_shards_without_a_pair_are_an_error(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    with pytest.raises(BenchmarkError, match="no sample"):
        Stream.open([str(tmp_path / "a.tar")], 0.5, lambda *_: None)
    write(tmp_path / "b.tar", range(3))
    with pytest.raises(BenchmarkError, match="twice"):
        Stream.open([str(tmp_path / "b.tar"), str(tmp_path / "b.tar")], 0.5, lambda *_: None)
