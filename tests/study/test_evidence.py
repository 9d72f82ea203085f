"""`salmu verify`: whatever is changed by hand in results is found.

What can't be, because the seal was made again, is listed here too.
"""

import json
import os
import shutil
from random import Random

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from stores import rewrite

from salmu_core.clip.canary import make_canary, write_canary
from salmu_core.clip.load import load_clip
from salmu_core.clip.name import CANARY, CONFIG
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_json
from salmu_core.judge.inspection import inspect
from salmu_core.store.attacks import ATTACK
from salmu_core.store.folders import METRICS, RUN, read_run
from salmu_core.store.schema import RETRIEVED, ROWS
from salmu_core.study.grounds import made_on
from salmu_core.study.rescoring import Rescorer

pytestmark = pytest.mark.xdist_group("evidence")  # one process makes the study


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
