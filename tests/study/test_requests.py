"""Runs that begin with what another one left, and requests that come one after another."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stores import rewrite

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_training
from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import share_changed
from salmu_core.errors import SchemaError, StoreError, UsageError
from salmu_core.plugins.zoo import discover
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import RUN, RunKey, Store, read_run
from salmu_core.study.asked import Study
from salmu_core.study.pieces import in_phases, in_turn, pieces_of
from salmu_core.study.plan import make_plan
from salmu_core.study.prepare import Options, requests_of
from salmu_core.study.starts import read_start
from salmu_core.study.todo import Outstanding
from salmu_core.study.work import carry_out
from salmu_core.testing import write_tiny_benchmark

#: Doubles a matrix, counts in its state how often it has been called, and logs what it was given.
DOUBLING = """
import torch
from pydantic import Field
from salmu_core import MethodConfig, MethodSpec, hookimpl

class Config(MethodConfig):
    fails: int = Field(-1, description="The call that fails.")
    odd: bool = Field(False, description="Whether to keep what can't be saved.")

def unlearn(ctx):
    calls = ctx.state.get("calls", torch.zeros(2, 1))
    if calls[0, 0] == ctx.config.fails:
        raise RuntimeError("no more")
    batch = next(ctx.batches("forget", len(ctx.forget)))
    for name, value in {
        "rows": len(ctx.forget),
        "people": len(set(ctx.forget.identity_ids)),
        "calls": calls[0, 0].item(),
        "budget": ctx.budget.forget + len(batch),
        "begun with": ctx.model.visual.proj.detach().norm().item(),
        "reference": ctx.reference.visual.proj.norm().item(),
        "similarity": ctx.reference_features(batch).pair_similarity[batch.index.argmin()].item(),
    }.items():
        ctx.log(name, value)
    with ctx.edit() as weights:
        weights["visual.proj"].mul_(2)
    ctx.log("left", ctx.model.visual.proj.detach().norm().item())
    ctx.state["calls"] = (calls + 1).expand(2, 2)[:, :1]
    if ctx.config.odd:
        ctx.state["odd"] = "no tensor"

@hookimpl
def salmu_methods():
    return [
        MethodSpec(name=name, summary="A test.", paper="https://example.org", config=Config, unlearn=unlearn)
        for name in ("doubling", "doubling-too")
    ]
"""


class Told(Reporter):
    """Keeps what a study says."""

    def __init__(self):
        self.notes = []

    def end(self, note):
        self.notes.append(note)


@pytest.fixture
def study(tiny, tmp_path, install, monkeypatch):
    """Carry out a study in this process; returns what was said, and the records of all its runs."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    install("doubling", DOUBLING)
    zoo, store = discover(), Store(tmp_path / "runs")

    def run(*methods, redo=False, **more):
        told = Told()
        asked = Study(benchmark=str(tiny), methods=methods or ("doubling",), budgets=(1.0,), **more)
        (work,) = carry_out(asked, {}, zoo, store, Options(redo=redo, processes=1), told)
        return told.notes, [(store.folder(p.key), read_run(store.folder(p.key))) for p in work.plan]

    run.store = store
    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def logged(record):
    return {name: points[0][1] for name, points in record.scalars.items()}


def test_every_request_goes_on_from_the_last_and_sees_its_own_part(study, tiny):
    notes, made = study(requests=3)
    assert [record.status for _, record in made] == ["valid"] * 3
    forget, before = read_training(tiny).forget, open_benchmark(str(tiny), discover(()), lambda *_: None)
    people, previous, rows = Counts(), load_clip(tiny / "compromised"), 0
    for number, (folder, record) in enumerate(made, 1):
        facts = logged(record)
        assert (record.request.number, record.request.count) == (number, 3)
        assert (facts["rows"], facts["people"]) == (record.request.rows, record.request.people)
        assert facts["budget"] == record.request.rows and record.ledger.forget_samples == record.request.rows
        assert facts["calls"] == number - 1
        norm = previous.model.visual.proj.norm().item()
        assert facts["begun with"] == facts["reference"] == pytest.approx(norm) and facts["left"] == 2 * norm
        asked = people.of(forget, record.request)
        first = np.array([min(asked)])
        with torch.no_grad():
            pixels = torch.from_numpy(np.stack([previous.to_pixels(image(forget, first[0]))]))
            similarity = previous.model.encode_image(previous.normalize(pixels), normalize=True) @ (
                previous.model.encode_text(previous.tokenize([forget.captions[first[0]]]), normalize=True).T
            )
        assert facts["similarity"] == pytest.approx(similarity.item(), abs=1e-5)
        left = load_clip(folder)
        assert record.ledger.weights_changed == share_changed(left.model, previous.model) > 0
        chain = [run.checkpoint_hash for run in record.start.runs]
        assert chain == [done.checkpoint_hash for _, done in made[: number - 1]]
        assert record.start.checkpoint_hash == (chain[-1] if chain else before.model_hash("compromised"))
        assert [study.store.root / run.folder for run in record.start.runs] == [done for done, _ in made[: number - 1]]
        previous, rows = left, rows + record.request.rows
    assert rows == len(forget) and sum("valid" in note for note in notes) == 3


class Counts:
    """Finds the rows of a request by its hash alone."""

    def of(self, forget, request):
        from itertools import combinations

        from salmu_core.disk.hashing import hash_json

        known = sorted(set(forget.identity_ids))
        for chosen in combinations(known, request.people):
            rows = [i for i, person in enumerate(forget.identity_ids) if person in chosen]
            if hash_json([forget.file_names[i] for i in rows]) == request.rows_hash:
                return rows
        raise AssertionError("no people have these rows")


def image(forget, row):
    import io

    from PIL import Image

    return Image.open(io.BytesIO(forget.encoded[row]))


def test_a_study_that_was_ended_goes_on_from_the_last_finished_request(study):
    _, made = study(requests=3, seeds=(0, 1))
    again, _ = study(requests=3, seeds=(0, 1))
    assert not again
    for folder, _ in made[1:3]:
        shutil.rmtree(folder)
    notes, remade = study(requests=3, seeds=(0, 1))
    assert [note.partition(":")[0][-6:] for note in notes if "valid" in note] == ["2 of 3", "3 of 3"]
    assert [record.checkpoint_hash for _, record in remade] == [record.checkpoint_hash for _, record in made]


def test_what_came_before_another_start_is_made_again_and_what_came_before_the_same_is_not(study):
    _, made = study(requests=3)
    (made[0][0] / "open_clip_model.safetensors").write_bytes(b"damaged")
    notes, _ = study(requests=3)
    assert [note.split(": ")[1].partition(",")[0] for note in notes[:3]] == ["valid", "there already", "there already"]
    record = json.loads((made[1][0] / RUN).read_text())
    record["start"]["checkpoint_hash"] = "0" * 64
    rewrite(made[1][0] / RUN, **record)
    notes, _ = study(requests=3)
    assert [note.split(": ")[1].partition(",")[0] for note in notes[:2]] == ["valid", "there already"]


def test_a_failed_request_ends_its_sequence_and_no_other(study):
    config = {"doubling": [{"fails": 1}, {"fails": -1}]}
    _, made = study(requests=3, config=config)
    assert [record.status for _, record in made] == ["valid", "crashed", "not-begun", "valid", "valid", "valid"]
    assert made[2][1].reason == ("request 2 of 3 has no result to go on from: it is crashed: RuntimeError: no more"), (
        "the reason of the one that failed"
    )
    notes, again = study(requests=3, config=config)
    assert not notes and [record.status for _, record in again] == [record.status for _, record in made]


def test_what_never_began_says_what_its_sequence_was_to_begin_with(study):
    _, ((first, _),) = study("doubling-too")
    _, made = study(requests=3, start=str(first), config={"doubling": {"fails": 0}})
    assert [record.status for _, record in made] == ["crashed", "not-begun", "not-begun"]
    assert {record.origin for _, record in made} == {made[0][1].start.runs[0].label}
    assert not made[2][1].start.checkpoint_hash


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "state.safetensors"])
def test_a_start_that_is_replaced_before_it_is_read_is_noticed(study, monkeypatch, name):
    _, ((first, _),) = study()
    from salmu_core.study import prepare

    def replaced(*words):
        start = read_start(*words)
        save_file(load_file(first / name), first / name, metadata={"of": "another run"})
        return start

    monkeypatch.setattr(prepare, "read_start", replaced)
    notes, ((_, record),) = study(start=str(first), seeds=(5,))
    assert record is None and any(f"{name} was replaced while a run was about to begin with it" in n for n in notes)


def test_results_of_another_release_are_not_overwritten_even_by_redo(study):
    _, ((folder, _),) = study()
    rewrite(folder / RUN, schema_version=1)
    for redo in (False, True):
        with pytest.raises(SchemaError, match="schema version 1"):
            study(redo=redo)


def test_a_run_begins_with_what_another_left(study, tiny):
    _, ((first, before),) = study()
    assert before.start.role == "compromised" and not before.start.runs and before.request.rows == 16
    _, ((second, record),) = study(start=str(first), seeds=(3,))
    assert second.name == f"b1-s3-f{before.checkpoint_hash[:8]}" and f"--from {first}" in record.command
    assert record.start.role == "run" and record.start.checkpoint_hash == before.checkpoint_hash
    (start,) = record.start.runs
    assert (start.method, start.seed, start.request) == ("doubling", 0, before.request)
    assert study.store.root / start.folder == first and record.origin == start.label
    facts = logged(record)
    assert facts["begun with"] == facts["reference"] == logged(before)["left"] and facts["calls"] == 1
    _, ((_, other),) = study("doubling-too", start=str(first))
    assert logged(other)["calls"] == 0, "another method's state is not handed over"
    _, made = study(start=str(second), requests=2)
    assert [len(each.start.runs) for _, each in made] == [2, 3]
    assert all(folder.name.startswith(f"b1-s0-f{record.checkpoint_hash[:8]}-q") for folder, _ in made)
    assert {each.origin for _, each in made} == {f"{start.label}, then {made[0][1].start.runs[1].label}"}
    whole = study.store.root / "copy"
    shutil.copytree(first, whole)
    _, ((third, copied),) = study(start=str(whole), seeds=(4,))
    assert copied.start.runs[0].folder == "copy" and third.name.endswith(before.checkpoint_hash[:8])


def test_what_can_not_be_begun_with_is_a_sentence(study, tiny, tmp_path):
    _, ((folder, _),) = study()

    def refused(path, kind, words):
        opened = open_benchmark(str(tiny), discover(()), lambda *_: None)
        with pytest.raises(kind, match=words):
            read_start(path, opened, study.store.root)

    refused(tiny / "clean", UsageError, "Clean, and models of which nobody can tell that, are refused. Give a run's")
    refused(tmp_path / "nowhere", UsageError, "there is no run.json")
    other = write_tiny_benchmark(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="on other data or from another Compromised"):
        read_start(folder, open_benchmark(str(other), discover(()), lambda *_: None), study.store.root)

    def changed(**fields):
        copy = shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
        rewrite(copy / RUN, **fields)
        return copy

    refused(changed(status="crashed", reason="so it is"), UsageError, r"it is crashed \(so it is\)")
    refused(changed(schema_version=1), SchemaError, "move that results folder elsewhere, or give another --output")
    for name in ("state.safetensors", "open_clip_model.safetensors", "open_clip_config.json", "salmu_canary.json"):
        (changed() / name).write_bytes(b"")
        refused(tmp_path / "copy", StoreError, f"{name} is damaged")
    with pytest.raises(UsageError, match="the forget set shows 6"):
        study(requests=7)


def test_what_a_method_keeps_is_saved_or_the_run_has_crashed(study):
    _, ((folder, record),) = study()
    assert record.sha256_of("state.safetensors") and (folder / "state.safetensors").is_file()
    (folder / "state.safetensors").unlink()
    with pytest.raises(StoreError, match=r"state\.safetensors is missing"):
        read_run(folder)
    _, ((folder, record),) = study(config={"doubling": {"odd": True}})
    assert record.status == "crashed" and record.checkpoint_hash is record.sha256_of("state.safetensors") is None
    assert "ctx.state['odd'] is a str, which can't be saved" in record.reason
    assert not (folder / "state.safetensors").exists()


def test_a_sequence_is_one_processs(tiny, install):
    install("doubling", DOUBLING)
    opened = open_benchmark(str(tiny), discover(()), lambda *_: None)
    asked = Study(methods=("doubling",), seeds=(0, 1, 2), budgets=(1, 5), requests=3)
    plan = make_plan(asked, opened.name, discover(), {}, "", None, requests_of(opened, 3))
    assert len({planned.key for planned in plan}) == 18 and all("--requests 3" in p.command for p in plan)
    before = {planned.key: planned.before for planned in plan}
    pieces = in_phases(pieces_of(opened.name, plan, Outstanding(runs=plan)))
    shares = [in_turn(pieces, [plan], index, 4, own=True) for index in range(4)]
    assert sorted(map(len, shares)) == [6, 6, 12, 12]
    for part in shares:
        keys = [piece.target for piece in part if piece.phase == "unlearning"]
        assert all(before[key] is None or before[key] in keys[: keys.index(key)] for key in keys)
    for index, own in enumerate(shares):  # and then what is left of each phase, in another order each
        turns = in_turn(pieces, [plan], index, 4)
        assert sorted(turns, key=pieces.index) == pieces and in_phases(turns) == turns
        assert [piece for piece in turns if piece in own] == own
        for phase in ("unlearning", "scoring"):
            mine = [piece for piece in own if piece.phase == phase]
            assert [piece for piece in turns if piece.phase == phase][: len(mine)] == mine


def test_folders_of_ordinary_runs_are_called_as_ever():
    key = RunKey("mini", "x", "0" * 64, 5, 0)
    assert key.path.name == "b5-s0" and replace(key, retain="ab").path.name == "b5-s0-rab"
    more = replace(key, start="cd", request="2of4-ef")
    assert more.path.name == "b5-s0-fcd-q2of4-ef" and str(more) == "x b5 s0 (000000) from cd, request 2 of 4"
