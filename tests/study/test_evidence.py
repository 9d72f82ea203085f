"""`salmu reproduce`: what is the same comes out the same, and what is not is said, with what explains it.

`salmu verify`: whatever is changed by hand in results is found; and what can't be, because the seal was made again, is
listed here too.
"""

import json
import os
import shutil
import tarfile
from io import BytesIO
from random import Random

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from stores import rewrite

from salmu_core.clip.canary import make_canary, write_canary
from salmu_core.clip.load import load_clip
from salmu_core.clip.name import CANARY, CONFIG
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import SalmuError
from salmu_core.judge.inspection import inspect
from salmu_core.judge.reproduction import compare_again
from salmu_core.plugins.zoo import discover
from salmu_core.run.reporter import Silent
from salmu_core.store.attacks import ATTACK
from salmu_core.store.folders import METRICS, RUN, read_run
from salmu_core.store.schema import RETRIEVED, ROWS
from salmu_core.study.reproduction import made_on, repetition
from salmu_core.study.rescoring import Rescorer
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
    first = salmu(*words, "--budget", "2", "--attack", "bare-value")
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
        repetition(copy, None, zoo, Silent())


def test_what_it_began_with_or_its_own_pairs_may_be_gone(place, zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(place.folder)
    runs = shutil.copytree(place.folder / "runs", tmp_path / "runs")
    last = runs / place.last.relative_to(place.folder / "runs")
    pairs(tmp_path / "other.tar", 4)
    monkeypatch.setenv("HOME", str(tmp_path))  # a record's paths begin with ~
    command = read_run(last).command.replace("own.tar", "~/other.tar")
    rewrite(last / RUN, command=command)
    with pytest.raises(SalmuError, match="holds other retain pairs"):
        repetition(last, None, zoo, Silent())
    rewrite(last / RUN, command=command.replace(str(place.run), "gone"))
    shutil.rmtree(runs / place.run.relative_to(place.folder / "runs"))
    with pytest.raises(SalmuError, match=r"began with .*finetuning b2 s3 .* any more"):
        repetition(last, None, zoo, Silent())


def test_a_folder_that_is_there_is_not_written_into(place):
    ended = place.salmu("reproduce", str(place.run), "--keep", "bench")
    assert ended.returncode == 2 and "there already" in ended.stderr


def shifted(column, by):
    """Move the rows of a column, and the figure that is their mean."""

    def change(folder):
        table = pq.read_table(folder / ROWS)
        value = pc.if_else(pc.equal(table["column"], column), pc.add(table["value"], by), table["value"])
        pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", value), folder / ROWS)
        scored = json.loads((folder / METRICS).read_text())["metrics"]
        for entry in scored.values():
            if column in entry["values"]:
                entry["values"][column] += by
        rewrite(folder / METRICS, metrics=scored)

    return change


def in_json(name, *path, to):
    """Change a value of a record."""

    def change(folder):
        content = json.loads((folder / name).read_text())
        *place, last = path
        part = content
        for step in place:
            part = part[step]
        part[last] = to(part[last]) if callable(to) else to
        (folder / name).write_text(json.dumps(content))

    return change


def sealed(change, *names):
    """The same, and the seals made again as if nothing had been."""

    def both(folder):
        change(folder)
        for name in names or (RUN, METRICS):
            rewrite(folder / name)

    return both


def without(name, *path):
    """Take something out of a record, and seal it again."""

    def change(folder):
        content = json.loads((folder / name).read_text())
        part = content
        for step in path[:-1]:
            part = part[step]
        del part[path[-1]]
        (folder / name).write_text(json.dumps(content))
        rewrite(folder / name)

    return change


def other_weights(folder):
    weights = load_file(folder / WEIGHTS)
    weights["visual.proj"] = weights["visual.proj"].flip(0)
    save_file(weights, folder / WEIGHTS)
    rewrite(folder / RUN)


def weights_of_all_records(folder):
    """A checkpoint, its canary and every hash of it."""
    other_weights(folder)
    clip = load_clip(folder, check=False)
    write_canary(folder, make_canary(clip, folder / WEIGHTS))
    rewrite(folder / RUN)
    rewrite(folder / METRICS, checkpoint_hash=read_run(folder).checkpoint_hash)
    shutil.rmtree(folder / "attacks")


def error_made_up(folder):
    metrics = json.loads((folder / METRICS).read_text())["metrics"]
    metrics["RetFail"] |= {"values": {}, "error": "ValueError: made up"}
    rewrite(folder / METRICS, metrics=metrics)


def rows_gone(folder):
    (folder / ROWS).unlink()
    without(METRICS, "files", ROWS)(folder)


def retrieved_from_elsewhere(folder):
    table = pq.read_table(folder / RETRIEVED)
    cosines = pc.multiply(table["cosine"], -1.0)
    pq.write_table(table.set_column(table.schema.get_field_index("cosine"), "cosine", cosines), folder / RETRIEVED)
    rewrite(folder / METRICS)


def attack(change):
    return lambda folder: change(next(folder.glob("attacks/*/*")))


GENKNOW = ("metrics", "GenKnow", "values", "GenKnow")
ONE_MORE = {"to": lambda number: number + 1}
#: Edits by hand, of files that stay valid. No seal is made again.
EDITS = {
    "a figure": in_json(METRICS, *GENKNOW, to=0.98765),
    "what guessing gives": in_json(METRICS, "metrics", "GenKnow", "chance", "GenKnow", to=0.9),
    "a metric's code": in_json(METRICS, "metrics", "GenKnow", "code_hash", to="0" * 64),
    "data": in_json(METRICS, "data_hash", to="0" * 64),
    "whose figures": in_json(METRICS, "checkpoint_hash", to="0" * 64),
    "rows": lambda folder: flip(folder / ROWS),
    "what was found": lambda folder: flip(folder / RETRIEVED),
    "budget": in_json(RUN, "budget", to=7.0),
    "seed": in_json(RUN, "seed", to=77),
    "config": in_json(RUN, "config", "lr", to=0.5),
    "config_hash": in_json(RUN, "config_hash", to="0" * 64),
    "ledger": in_json(RUN, "ledger", "steps", **ONE_MORE),
    "code_hash": in_json(RUN, "plugin", "code_hash", to="0" * 64),
    "command": in_json(RUN, "command", to="salmu run nothing"),
    "environment": in_json(RUN, "environment", "torch", to="1.0"),
    "status": in_json(RUN, "status", to="crashed"),
    "method": in_json(RUN, "method", to="cliperase"),
    "start model": in_json(RUN, "benchmark", "start_model_hash", to="0" * 64),
    "when": in_json(RUN, "started", to="2020-01-01T00:00:00+00:00"),
    "canary": lambda folder: flip(folder / CANARY),
    "model config": lambda folder: flip(folder / CONFIG),
    "weights": lambda folder: flip(folder / WEIGHTS),
    "attack": attack(in_json(ATTACK, "seed", to=9)),
}
#: Edits that were sealed again, with all hashes; whatever one record or file says, another one says otherwise.
SEALED = {
    "a figure": sealed(in_json(METRICS, *GENKNOW, to=0.98765)),
    "an error made up": error_made_up,
    "a metric taken out": without(METRICS, "metrics", "RetFail"),
    "whose figures": sealed(in_json(METRICS, "checkpoint_hash", to="0" * 64)),
    "data of the figures": sealed(in_json(METRICS, "data_hash", to="0" * 64)),
    "data of the run": sealed(in_json(RUN, "benchmark", "data_hash", to="0" * 64)),
    "start model": sealed(in_json(RUN, "benchmark", "start_model_hash", to="0" * 64)),
    "budget": sealed(in_json(RUN, "budget", to=7.0)),
    "seed": sealed(in_json(RUN, "seed", to=77)),
    "config": sealed(in_json(RUN, "config", "lr", to=0.5)),
    "config and its hash": lambda folder: rewrite(folder / RUN, config={}, config_hash=hash_json({})),
    "method": sealed(in_json(RUN, "method", to="cliperase")),
    "status": sealed(in_json(RUN, "status", to="crashed")),
    "seed of the command": sealed(in_json(RUN, "command", to=lambda text: text.replace("--seed 3", "--seed 4"))),
    "weights": other_weights,
    "figure of an attack": attack(
        sealed(in_json(ATTACK, "metrics", "RetFail", "values", "RetFail_MRR", to=0.0), ATTACK)
    ),
    "config of an attack": attack(sealed(in_json(ATTACK, "config", to={"made": "up"}), ATTACK)),
}
#: Of these, nothing but the checkpoint tells.
SCORED_AGAIN = {
    "rows and figure of cosines": shifted("AssocStr", 0.1),
    "rows and figure of hits": shifted("GenKnow", 0.25),
    "all rows gone": rows_gone,
    "what was found": retrieved_from_elsewhere,
    "weights with canary and all hashes": weights_of_all_records,
    "canary": sealed(in_json(CANARY, "image_lengths", 0, **ONE_MORE)),
    "model config": sealed(in_json(CONFIG, "preprocess_cfg", "mean", to=[0.1, 0.5, 0.5])),
}
#: Sealed again, these are not noticed: nothing else in a results folder says the same. `salmu reproduce` tells.
UNSEEN = {
    "ledger": sealed(in_json(RUN, "ledger", "steps", **ONE_MORE)),
    "environment": sealed(in_json(RUN, "environment", "torch", to="1.0")),
    "code_hash": sealed(in_json(RUN, "plugin", "code_hash", to="0" * 64)),
}


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.fixture(scope="module")
def results(place, tmp_path_factory):
    """The results of the first run alone."""
    runs = tmp_path_factory.mktemp("results")
    (world,) = (place.folder / "runs").iterdir()
    shutil.copytree(world / "_references", runs / world.name / "_references")
    shutil.copytree(place.run, runs / place.run.relative_to(place.folder / "runs"))
    return runs


@pytest.fixture(scope="module")
def zoo():
    return discover()


@pytest.fixture
def look(place, results, zoo, tmp_path):
    """Change a copy of the results, and look at it; returns what is damaged."""

    def damaged(change, again=True):
        damaged.rows = 0
        runs = shutil.copytree(results, tmp_path / "runs")
        folder = runs / place.run.relative_to(place.folder / "runs")
        change(folder)
        made = inspect(runs, folder.parents[2].name, lambda *_: None)
        if again and not any(finding.damage for finding in made.findings):
            benchmark = made_on(made, str(place.folder / "bench"), zoo, lambda *_: None)
            if benchmark is not None:
                metrics = list(zoo.metrics.values())
                rescorer = Rescorer(benchmark, metrics, torch.device("cpu"), lambda *_: None, Random(1))
                (checkpoint,) = (it for it in made.checkpoints if it.folder == folder)
                made.findings += rescorer.differences(checkpoint, lambda *_: None)
                damaged.rows = rescorer.looked_at
        return [finding for finding in made.findings if finding.damage]

    return damaged


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_is_changed_in_results_is_found(look, edit):
    assert look(EDITS[edit], again=False)


@pytest.mark.parametrize("edit", SEALED)
def test_what_was_sealed_again_does_not_go_with_the_rest(look, edit):
    assert look(SEALED[edit])


@pytest.mark.parametrize("edit", SCORED_AGAIN)
def test_figures_are_held_against_the_checkpoint_itself(look, edit):
    (one, *_) = look(SCORED_AGAIN[edit])
    assert "its checkpoint gives" in one.what or "can't be scored again" in one.what


def test_nothing_is_found_where_nothing_is_wrong_and_some_things_can_not_be(look, results, place, tmp_path):
    assert look(lambda folder: None) == [] and look.rows > 50
    for change in UNSEEN.values():
        shutil.rmtree(tmp_path / "runs")
        assert look(change, again=False) == []


def test_the_command_says_where_what_and_what_to_do_and_changes_nothing(place, results, tmp_path):
    runs = shutil.copytree(results, tmp_path / "runs")
    clean = ["verify", str(runs), "--sample", "1", "--seed", "7"]
    whole = place.salmu(*clean)
    assert whole.returncode == 0 and "All of it is whole" in whole.stdout and "--seed 7" in whole.stdout, whole.stderr
    run = runs / place.run.relative_to(place.folder / "runs")
    in_json(RUN, "seed", to=4)(run)
    leftover = run.with_name(".b9-s9.0000abcd-1-1-00000000")
    leftover.mkdir()
    (run.parent / ".b2-s4.work").mkdir()
    (run.parent / "b3-s0").mkdir()
    (run.parent / "b3-s0" / WEIGHTS).touch()
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    ended = place.salmu("verify", str(runs), "--sample", "0", "--json")
    assert ended.returncode == 1
    said = json.loads(ended.stdout)
    found = {finding["path"]: finding for finding in said["findings"]}
    assert found[str(run / RUN)]["damage"] and "makes it again" in found[str(run / RUN)]["remedy"]
    assert found[str(run.parent / "b3-s0")]["damage"] and "no record" in found[str(run.parent / "b3-s0")]["what"]
    assert not found[str(leftover)]["damage"] and not found[str(run.parent / ".b2-s4.work")]["damage"]
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_data_that_changed_since_are_told_though_size_and_time_are_the_same(place, results, zoo, tmp_path):
    bench = shutil.copytree(place.folder / "bench", tmp_path / "bench")
    (name,) = (path.name for path in results.iterdir())
    made = inspect(results, name, lambda *_: None)
    assert made_on(made, str(bench), zoo, lambda *_: None).data_hash
    path = bench / "identities_metadata.json"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"00000000", b"0000000x", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert made_on(made, str(bench), zoo, lambda *_: None) is None
    assert {finding.path for finding in made.findings} == {*made.runs, *(one.folder for one in made.checkpoints)}
