"""Requests in sequence in a table: each on the people it was about, beside the same people of the references."""

import csv
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from entries import entry
from stores import PEOPLE, around, leak, rewrite, write_reference, write_run

from salmu_core.benchmark.parts import people_in_parts
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_json
from salmu_core.errors import SchemaError, UsageError
from salmu_core.judge.compare import compare
from salmu_core.judge.diff import compare_two
from salmu_core.judge.lines import LEAK
from salmu_core.judge.results import read_results
from salmu_core.judge.single import read_one_run, read_scored
from salmu_core.judge.statistics import Clusters
from salmu_core.show.markdown import markdown
from salmu_core.show.spreadsheet import spreadsheet
from salmu_core.show.table import table
from salmu_core.store.folders import RUN, Store, read_run
from salmu_core.store.starts import Ancestor, RequestRef, StartRef

FILES = [f"{person}_{i:03d}.jpg" for i, person in enumerate(PEOPLE)]
PARTS = people_in_parts(PEOPLE, 2)


def inside(number):
    """Which rows a request is about."""
    return np.array([person in PARTS[number - 1] for person in PEOPLE])


def request(number):
    names = [file for file, of in zip(FILES, inside(number), strict=True) if of]
    return RequestRef(number=number, count=2, people=10, rows=40, rows_hash=hash_json(names))


def model(seed, lowest):
    ranks = np.random.default_rng(seed).integers(lowest, 60, 80)
    return {"AssocStr": around(1 / lowest, seed), **leak(ranks)}


MODELS = {"clean": model(0, 20), "compromised": model(1, 1), "first": model(2, 5), "second": model(3, 8)}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "runs"
    for role in ("clean", "compromised"):
        write_reference(root, role, MODELS[role])
    write_run(root, "ordinary", model(4, 6))
    first = write_run(root, "sequential", MODELS["first"], request=request(1))
    before = read_run(first)
    facts = {name: getattr(before, name) for name in ("method", "config_hash", "budget", "seed", "checkpoint_hash")}
    start = Ancestor(**facts, folder=str(first.relative_to(root)), request=request(1))
    chain = StartRef(checkpoint_hash=start.checkpoint_hash, role="run", runs=(start,))
    write_run(root, "sequential", MODELS["second"], request=request(2), start=chain)
    return root


@pytest.fixture
def results(root):
    return read_results(Store(root), ["mini"])


@pytest.fixture
def comparison(results):
    return compare(results, results.columns)


def test_a_request_is_read_on_its_people_and_the_last_one_on_everybody_too(results):
    _, first, second, whole = results.rows
    for row, name, rows in (
        (first, "first", inside(1)),
        (second, "second", inside(2)),
        (whole, "second", np.ones(80, dtype=bool)),
    ):
        for column in ("RetFail_MRR", "AssocStr"):
            mean = MODELS[name][column][rows].mean()
            assert row.metrics[column] == pytest.approx(mean) and row.figures[column].mean == pytest.approx(mean)
        assert len(row.figures["AssocStr"]) == rows.sum() / 4
    asked = [row.task.request for row in (first, second, whole)]
    assert asked == ["request 1 of 2", "request 2 of 2", "all 2 requests"]
    by_person = [MODELS["first"]["RetFail_R@1"][np.array([p == q for p in PEOPLE])].any() for q in sorted(PARTS[0])]
    assert first.tails["people@1"] == np.mean(by_person)


@pytest.mark.parametrize(("number", "name"), [(1, "first"), (2, "second"), (0, "second")])
def test_references_of_a_request_are_the_same_peoples_rows(comparison, number, name):
    (line,) = (line for line in comparison.lines if line.method == "sequential" and line.task.number == number)
    rows = inside(number) if number else np.ones(80, dtype=bool)
    run, clean, before = (MODELS[each]["RetFail_MRR"][rows] for each in (name, "clean", "compromised"))
    evidence = line.as_json()
    assert evidence["leakage_reduction"]["value"] == pytest.approx(1 - run.mean() / before.mean())
    assert evidence["leakage_bar"] == pytest.approx(min(0.99, 1 - clean.mean() / before.mean()))
    gap = MODELS[name]["AssocStr"][rows] - MODELS["clean"]["AssocStr"][rows]
    assert line.figures["AssocStr"].difference.value == pytest.approx(gap.mean())
    people = [person for person, of in zip(PEOPLE, rows, strict=True) if of]
    assert np.allclose(line.figures["AssocStr"].gap.worlds["mini"][0].sums, Clusters.of(gap, people).sums)


def test_every_request_is_a_line_and_ordinary_lines_keep_their_places(comparison, results):
    assert [line.label for line in comparison.lines] == [
        "ordinary",
        "sequential, all 2 requests",
        "sequential, request 1 of 2",
        "sequential, request 2 of 2",
    ]
    assert all(line.places[LEAK] == (1, 1) for line in comparison.lines)
    alone = compare(replace(results, rows=results.rows[:1]), results.columns).lines[0]
    assert alone.places == comparison.lines[0].places and alone.diagnosis == comparison.lines[0].diagnosis
    whole = table(comparison, results.columns)
    cells = [row["request"] for row in csv.DictReader(io.StringIO(spreadsheet(whole)))]
    assert cells[-4:] == ["", "all 2 requests", "request 1 of 2", "request 2 of 2"]
    assert "sequential, request 2 of 2" in markdown(whole)
    lines = comparison.as_json()["lines"]
    assert [(line["requests"], line["request"]) for line in lines] == [(1, None), (2, None), (2, 1), (2, 2)]


def test_a_figure_of_forget_rows_without_rows_is_not_told_of_a_part(root):
    """Nobody can say which people a single number is about; one of other rows is everybody's as usual."""
    (path,) = root.glob("mini/sequential/*/*-q1of2-*/metrics.json")
    metrics = json.loads(path.read_text())
    for name in ("ACS", "GenKnow"):
        metrics["metrics"][name] = entry(name, values={name: 0.5}).model_dump(mode="json")
    rewrite(path, **metrics)
    results = read_results(Store(root), ["mini"])
    lines = compare(results, results.columns).lines
    (line,) = (line for line in lines if line.task.number == 1)
    assert "ACS" not in line.rows[0].metrics and line.rows[0].metrics["GenKnow"] == 0.5
    assert "ACS" not in line.figures and line.figures["GenKnow"].value.value == 0.5


def test_what_went_on_from_something_that_is_there_no_longer_is_no_result(root):
    (path,) = root.glob(f"mini/sequential/*/*-q1of2-*/{RUN}")
    weights = path.with_name("open_clip_model.safetensors")
    weights.write_bytes(b"made again, and otherwise")
    rewrite(path)
    (second,) = (r for r in read_results(Store(root), ["mini"]).rows if "q2of2" in r.folder.name)
    assert second.status == "other data" and "it goes back to another checkpoint than mini/sequential/" in second.reason


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_goes_back_to_something_that_is_there_no_longer_is_no_result(root, tmp_path, elsewhere):
    """However many runs lie between, and in whatever results folders: each says where the one before it lies."""
    last = next(root.glob(f"mini/sequential/*/*-q2of2-*/{RUN}"))
    between = read_run(last.parent)
    output = tmp_path / "more" if elsewhere else root
    names = ("method", "config_hash", "budget", "seed", "checkpoint_hash", "request")
    facts = {name: getattr(between, name) for name in names}
    where = os.path.relpath(last.parent, output)
    runs = (*between.start.runs, Ancestor(**facts, folder=where))
    chain = StartRef(checkpoint_hash=between.checkpoint_hash, role="run", runs=runs)
    for role in ("clean", "compromised"):
        if elsewhere:
            write_reference(output, role, MODELS[role])
    write_run(output, "after", MODELS["second"], start=chain)

    def status():
        return next(row.status for row in read_results(Store(output), ["mini"]).rows if row.method == "after")

    assert status() == "valid"
    first = next(root.glob(f"mini/sequential/*/*-q1of2-*/{RUN}"))
    first.with_name(WEIGHTS).write_bytes(b"made again, and otherwise")
    rewrite(first)
    assert status() == "other data"


def test_records_of_another_release_are_one_sentence_beside_others_or_alone(root):
    def aged(*patterns):
        for path in (path for pattern in patterns for path in root.glob(pattern)):
            rewrite(path, schema_version=1)

    aged("mini/sequential/*/*/run.json")
    results = read_results(Store(root), ["mini"])
    assert [row.method for row in results.rows] == ["ordinary"] and results.rows[0].status == "valid"
    (problem,) = results.problems
    assert problem.startswith("2 records of another release are left out: ") and "schema version 1" in problem
    aged("mini/ordinary/*/*/run.json", "mini/_references/*/metrics.json")
    with pytest.raises(SchemaError, match=r"has schema version 1, .* give another --output"):
        read_results(Store(root), ["mini"])


def test_rows_that_a_request_was_not_about_are_damage(root):
    (path,) = root.glob(f"mini/sequential/*/*-q1of2-*/{RUN}")
    record = json.loads(path.read_text())
    record["request"]["rows_hash"] = "0" * 64
    rewrite(path, **record)
    moved = path.parent.rename(path.parent.with_name("b5-s0-q1of2-00000000"))
    (first,) = (r for r in read_results(Store(root), ["mini"]).rows if r.folder == moved)
    assert first.status == "damaged" and "has not the rows that request 1 of 2 was about" in first.reason


def test_a_difference_calls_requests_by_their_numbers(root):
    models = [read_scored(folder) for folder in sorted(root.glob("mini/sequential/*/*"))]
    assert [model.name for model in models] == [f"sequential, budget 5, seed 0, request {n} of 2" for n in (1, 2)]
    facts = {fact.name: (fact.a, fact.b) for fact in compare_two(*models).facts}
    assert facts["request"] == ("request 1 of 2", "request 2 of 2")
    assert models[1].record.start.runs[0].label.endswith("), request 1 of 2")


def test_one_request_of_several_is_not_certified_and_the_last_one_is_for_everybody(root):
    first, last = sorted(root.glob("mini/sequential/*/*"))
    with pytest.raises(UsageError, match="request 1 of 2 in a sequence, and the others are not done"):
        read_one_run(first, "certified")
    run = read_one_run(last, "certified")
    assert run.line.task.number == 0 and len(run.comparison.lines) == 1
