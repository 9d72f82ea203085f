"""`salmu reproduce`: what is the same comes out the same, and what is not is said, with what explains it."""

import json
import os
import shutil
import tarfile
from io import BytesIO

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from stores import rewrite

from salmu_core.contract.layout import WEIGHTS
from salmu_core.errors import SalmuError
from salmu_core.judge.reproduction import compare_again
from salmu_core.plugins.zoo import discover
from salmu_core.run.reporter import Silent
from salmu_core.store.folders import METRICS, RUN, read_run
from salmu_core.study.reproduction import repetition
from salmu_core.testing import write_tiny_benchmark


def pairs(path, count=8):
    """A shard of retain pairs."""
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            image = BytesIO()
            Image.new("RGB", (16, 16), (30 * number, 9, 7)).save(image, "png")
            for suffix, content in (("png", image.getvalue()), ("txt", f"pair {number}".encode())):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


@pytest.fixture(scope="module")
def place(tmp_path_factory, launcher):
    """A run of its own settings; and two requests, with retain pairs of the user's own, that begin where it ended."""
    place = tmp_path_factory.mktemp("place")
    write_tiny_benchmark(place / "bench", people=4, pairs=2)
    pairs(place / "own.tar")

    def salmu(*words):
        whole = {**os.environ, "SALMU_CACHE": str(place / "cache"), "COLUMNS": "100"}
        return launcher.run([*words], place, whole, timeout=240)

    words = ["run", "finetuning", "--benchmark", "bench", "--seed", "3", "--set", "finetuning.batch_size=4"]
    first = salmu(*words, "--budget", "2")
    (run,) = (place / "runs").glob("*/finetuning/*/b2-s3")
    more = ["--budget", "1", "--from", str(run), "--requests", "2", "--retain", "own.tar"]
    second = salmu(*words, *more)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    place_of = type("Place", (), {"folder": place, "salmu": staticmethod(salmu), "run": run})
    place_of.last = next(run.parent.glob("b1-*-q2of2-*"))
    return place_of


@pytest.fixture
def copy(place, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(place.run, tmp_path / "copy")


def test_a_run_made_again_from_a_copy_of_it_is_the_same_to_the_last_bit(place, copy):
    ended = place.salmu("reproduce", str(copy), "--keep", "kept", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(ended.stdout)
    assert said["equal"] and said["surroundings"] == [] and "last bit" in said["verdict"]
    assert [point["name"] for point in said["points"]][:3] == ["outcome", "weights", "state"]
    (kept,) = (place.folder / "kept").glob("*/finetuning/*/b2-s3")
    for name in (WEIGHTS, "per_row.parquet", "retrieved.parquet"):
        assert (kept / name).read_bytes() == (place.run / name).read_bytes()


def test_what_a_run_began_with_its_request_and_its_own_pairs_are_in_its_record(place):
    ended = place.salmu("reproduce", str(place.last))
    assert ended.returncode == 0 and "Reproduced" in ended.stdout, ended.stdout + ended.stderr


def test_a_number_of_its_record_that_was_changed_together_with_the_seal_does_not_come_out_again(place, copy):
    ledger = read_run(copy, copied=True).ledger.model_dump()
    rewrite(copy / RUN, ledger=ledger | {"steps": 99})
    made = compare_again(copy, place.run)
    assert {point.name for point in made.points if not point.equal} == {"ledger"}
    assert "1 of 10 counts, the largest difference" in made.points[5].text and "Not reproduced" in made.verdict


def test_how_far_weights_and_figures_lie_apart_is_said(place, copy):
    weights = load_file(copy / WEIGHTS)
    weights["logit_scale"] += 0.25
    total = sum(tensor.numel() for tensor in weights.values())
    save_file(weights, copy / WEIGHTS)
    rewrite(copy / RUN)
    scored = json.loads((copy / METRICS).read_text())
    scored["metrics"]["GenKnow"]["values"]["GenKnow"] += 0.125
    rewrite(copy / METRICS, checkpoint_hash=read_run(copy, copied=True).checkpoint_hash, metrics=scored["metrics"])
    made = compare_again(copy, place.run)
    off = {point.name: point.text for point in made.points if not point.equal}
    assert off.keys() == {"weights", "figures"}
    assert f"1 of {total:,} numbers" in off["weights"] and "0.25" in off["weights"]
    assert "the largest difference 0.12: GenKnow" in off["figures"]


def test_what_it_was_made_with_explains_that_it_differs(place, copy):
    record = read_run(copy, copied=True)
    plugin = record.plugin.model_dump() | {"code_hash": "0" * 64}
    rewrite(copy / RUN, environment=record.environment | {"torch": "1.0"}, plugin=plugin)
    same = compare_again(copy, place.run)
    assert same.equal and {fact.name for fact in same.surroundings} == {"torch", "method's code"}
    rewrite(copy / RUN, seed=4)
    other = compare_again(copy, place.run)
    assert "Not comparable" in other.verdict and "torch, method's code" in other.verdict and not other.equal


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: {"method": "nobody-has-it"}, "There is no method 'nobody-has-it'"),
        (lambda run: {"command": "salmu run finetuning --benchmark /nowhere"}, "is neither installed nor a folder"),
        (lambda run: {"benchmark": run.benchmark.model_dump() | {"data_hash": "0" * 64}}, "was made on other data"),
        (lambda run: {"environment": {}}, "does not say with how many threads"),
    ],
)
def test_what_can_not_be_made_again_is_a_sentence(place, copy, change, words, monkeypatch):
    monkeypatch.chdir(place.folder)
    rewrite(copy / RUN, **change(read_run(copy, copied=True)))
    with pytest.raises(SalmuError, match=words):
        repetition(copy, None, discover(), Silent())


def test_what_it_began_with_or_its_own_pairs_may_be_gone(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place.folder)
    runs = shutil.copytree(place.folder / "runs", tmp_path / "runs")
    last = runs / place.last.relative_to(place.folder / "runs")
    pairs(tmp_path / "other.tar", 4)
    command = read_run(last).command.replace("own.tar", str(tmp_path / "other.tar"))
    rewrite(last / RUN, command=command)
    with pytest.raises(SalmuError, match="holds other retain pairs"):
        repetition(last, None, discover(), Silent())
    rewrite(last / RUN, command=command.replace(str(place.run), "gone"))
    shutil.rmtree(runs / place.run.relative_to(place.folder / "runs"))
    with pytest.raises(SalmuError, match=r"began with .*finetuning b2 s3 .* any more"):
        repetition(last, None, discover(), Silent())


def test_a_folder_that_is_there_is_not_written_into(place):
    ended = place.salmu("reproduce", str(place.run), "--keep", "bench")
    assert ended.returncode == 2 and "there already" in ended.stderr
    assert place.salmu("reproduce", "bench").returncode == 2
