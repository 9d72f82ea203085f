"""`salmu reproduce`: what is the same comes out the same, and what is not is said, with what explains it."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from salmu_reproduce.comparison import compare_again
from salmu_reproduce.repetition import repetition

from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.record import FileSeal, seal_of
from salmu_core.errors import SalmuError
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import METRICS, RUN, read_run

pytestmark = pytest.mark.xdist_group("reproduce")  # one process makes the runs


def rewrite(path, **fields):
    """Change a record, as if it had been written so beside the files that lie there now."""
    content = json.loads(path.read_text())
    content["files"] = {name: FileSeal.of(path.parent / name).model_dump() for name in content["files"]}
    content |= fields
    path.write_text(json.dumps({**content, "seal": seal_of(content)}))


def test_a_run_made_again_from_a_copy_of_it_is_the_same_to_the_last_bit(place, copy, reproduce):
    ended = reproduce(copy, "--keep", "kept", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads(ended.stdout)
    assert said["equal"] and said["surroundings"] == [] and "last bit" in said["verdict"]
    assert [point["name"] for point in said["points"]][:3] == ["outcome", "weights", "state"]
    (kept,) = (place.folder / "kept").glob("*/finetuning/*/b2-s3")
    for name in (WEIGHTS, "per_row.parquet", "retrieved.parquet"):
        assert (kept / name).read_bytes() == (place.run / name).read_bytes()


def test_what_a_run_began_with_its_request_and_its_own_pairs_are_in_its_record(place, reproduce):
    ended = reproduce(place.last)
    assert ended.returncode == 0 and "Reproduced" in ended.stdout, ended.stdout + ended.stderr


def test_a_number_of_its_record_that_was_changed_together_with_the_seal_does_not_come_out_again(place, copy):
    ledger = read_run(copy, copied=True).ledger.model_dump()
    rewrite(copy / RUN, ledger=ledger | {"steps": 99})
    made = compare_again(copy, place.run)
    assert {point.name for point in made.points if not point.equal} == {"ledger"}
    assert made.points[5].text.endswith("the largest difference 97: steps") and "Not reproduced" in made.verdict


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
def test_what_can_not_be_made_again_is_a_sentence(place, copy, zoo, change, words, monkeypatch):
    monkeypatch.chdir(place.folder)
    rewrite(copy / RUN, **change(read_run(copy, copied=True)))
    with pytest.raises(SalmuError, match=words):
        repetition(copy, None, zoo, Reporter())


def test_what_it_began_with_or_its_own_pairs_may_be_gone(place, zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(place.folder)
    runs = shutil.copytree(place.folder / "runs", tmp_path / "runs")
    last = runs / place.last.relative_to(place.folder / "runs")
    monkeypatch.setenv("HOME", str(place.folder))  # a record's paths begin with ~
    command = read_run(last).command.replace("own.tar", "~/other.tar")
    rewrite(last / RUN, command=command)
    with pytest.raises(SalmuError, match="holds other retain pairs"):
        repetition(last, None, zoo, Reporter())
    rewrite(last / RUN, command=command.replace(str(place.run), "gone"))
    shutil.rmtree(runs / place.run.relative_to(place.folder / "runs"))
    with pytest.raises(SalmuError, match=r"began with .*finetuning b2 s3 .* any more"):
        repetition(last, None, zoo, Reporter())


def test_a_folder_that_is_there_is_not_written_into(place, reproduce):
    ended = reproduce(place.run, "--keep", "bench")
    assert ended.returncode == 2 and "there already" in ended.stderr
