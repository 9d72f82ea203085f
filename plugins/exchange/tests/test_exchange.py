"""What is exported comes back bit by bit; what is no such file is a sentence."""

from __future__ import annotations

import json
import shutil
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from salmu_exchange.form import read
from salmu_exchange.models import evaluation_of
from salmu_exchange.shelf import shelve

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.errors import SalmuError
from salmu_core.judge.inspection import inspect
from salmu_core.judge.single import read_scored
from salmu_core.plugins.zoo import discover
from salmu_core.score.scorer import Scorer
from salmu_core.store.folders import Store
from salmu_core.testing import typed, write_tiny_benchmark

RUNS, WORLD = 16, "tiny"


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """A results folder with both reference models, of a benchmark without a zero-shot set."""
    base = tmp_path_factory.mktemp("exchange")
    folder = write_tiny_benchmark(base / "tiny")
    shutil.rmtree(folder / "zeroshot")
    (folder / "benchmark.toml").write_text(f'name = "{WORLD}"\n[metrics.RetFail]\ndraw = "rows"\n')
    zoo, store = discover(), Store(base / "runs")
    benchmark = open_benchmark(str(folder), zoo, lambda *_: None)
    ten = [metric for metric in zoo.metrics.values() if metric.distribution == "salmu-protocol-metrics"]
    scorer = Scorer(benchmark, ten, torch.device("cpu"))
    for role in ("clean", "compromised"):
        place = store.reference(WORLD, role)
        place.mkdir(parents=True)
        scorer.score(benchmark.model(role), benchmark.model_hash(role), place, lambda *_: None)
    return store.root


@pytest.fixture
def runs(scored, tmp_path):
    return shutil.copytree(scored, tmp_path / "runs")


@pytest.fixture
def salmu(tmp_path):
    return partial(typed, tmp_path, COLUMNS="200")


@pytest.fixture
def theirs(runs, tmp_path):
    """A file as the authors write it, of Compromised, and its content."""
    path = tmp_path / "evaluation_theirs.json"
    content = evaluation_of(read_scored(runs / WORLD / "_references" / "compromised")).as_json()

    def write(change=lambda content: None):
        changed = json.loads(json.dumps(content))
        change(changed)
        path.write_text(json.dumps(changed))
        return path

    return write


def rows(folder, metric, column):
    wanted = [("metric", "=", metric), ("column", "=", column)]
    return pq.read_table(folder / "per_row.parquet", filters=wanted).sort_by("row").to_pylist()


def test_a_file_has_the_authors_keys_and_every_row_in_order(salmu, runs, tmp_path):
    clean = runs / WORLD / "_references" / "clean"
    done = salmu("export", clean, "--format", "salmubench", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out" / "evaluation_tiny-clean.json"
    assert json.loads(done.stdout) == {"file": str(path), "format": "salmubench", "rows": RUNS, "draw": "rows"}
    content, metrics = json.loads(path.read_text()), json.loads((clean / "metrics.json").read_text())["metrics"]
    value = {column: figure for entry in metrics.values() for column, figure in entry["values"].items()}

    def column(metric, name):
        return [line["value"] for line in rows(clean, metric, name)]

    ranks = column("RetFail", "rank")
    assert content == {
        "efficacy": {
            "1.1_RetFail": {"R@1": value["RetFail_R@1"], "MRR": value["RetFail_MRR"], "outcomes": ranks},
            "1.2_AssocStr": {"mean": value["AssocStr"], "scores": column("AssocStr", "AssocStr")},
            "1.3_ACS": {"acs_accuracy": value["ACS"]},
            "1.4_IdZSC": {"identity_classification_accuracy": value["IdZSC"]},
            "1.5_CoreAssoc": {"mean": value["CoreAssoc"], "scores": column("CoreAssoc", "CoreAssoc")},
        },
        "utility": {
            "2.1_GenKnow": {"ImageNet1k_Accuracy": -1},
            **{
                key: {"mean": value[key.partition("_")[2]]}
                for key in ("2.2_InterIdSim", "2.3_IntraIdSim", "2.4_VisIdInt", "2.5_FragSim")
            },
        },
    }
    assert len(ranks) == RUNS and all(type(rank) is int for rank in content["efficacy"]["1.1_RetFail"]["outcomes"])


def test_every_value_comes_back_as_it_was(runs, theirs):
    compromised = runs / WORLD / "_references" / "compromised"
    model = shelve(theirs(), Store(runs), WORLD, 5)
    for metric, column in (
        ("RetFail", "rank"),
        ("RetFail", "RetFail_MRR"),
        ("RetFail", "RetFail_R@1"),
        ("AssocStr", "AssocStr"),
        ("CoreAssoc", "CoreAssoc"),
    ):
        assert rows(model.folder, metric, column) == rows(compromised, metric, column)
    before = read_scored(compromised)
    assert model.metrics.values == before.metrics.values
    assert evaluation_of(model).as_json() == evaluation_of(before).as_json()
    assert model.metrics.not_measured == {"GenKnow": "the file says -1: it was skipped"}
    assert all(entry.details["imported"]["budget"] == 5 for entry in model.metrics.metrics.values())
    assert inspect(runs, WORLD, lambda *_: None).findings == []


def test_it_is_a_row_beside_the_reference_models_and_stays_one(salmu, runs, theirs):
    words = ("--output", runs, "--benchmark", WORLD)
    done = salmu("import", theirs(), *words, "--budget", 5)
    assert done.returncode == 0 and "theirs (imported)" in done.stdout and "without a checkpoint" in done.stdout
    (line,) = json.loads(salmu("import", *words, "--json").stdout)["lines"]
    assert line["method"] == "theirs (imported)" and line["budget"] == 5
    assert not list(runs.rglob("*.safetensors"))
    clean = runs / WORLD / "_references" / "clean"
    differ = salmu("diff", clean, runs / WORLD / "_references" / "imported-theirs")
    assert differ.returncode == 0 and "AssocStr" in differ.stdout, differ.stderr


def test_where_two_differ_is_said_row_by_row(salmu, runs, theirs):
    words = ("import", theirs(), "--output", runs, "--benchmark", WORLD, "--json")
    same, other = (
        json.loads(salmu(*words, "--against", runs / WORLD / "_references" / role).stdout)["differences"]
        for role in ("compromised", "clean")
    )
    assert [(each["column"], each["differ"], each["largest"], each["first"]) for each in same] == [
        (column, 0, 0, []) for column in ("rank", "AssocStr", "CoreAssoc")
    ]
    for found, metric in zip(other, ("RetFail", "AssocStr", "CoreAssoc"), strict=True):
        one, two = (rows(runs / WORLD / "_references" / r, metric, found["column"]) for r in ("compromised", "clean"))
        apart = np.array([a["value"] - b["value"] for a, b in zip(one, two, strict=True)])
        assert found["rows"] == RUNS and found["differ"] == np.count_nonzero(apart) > 0
        assert found["largest"] == np.abs(apart).max()
        first = int(np.flatnonzero(apart)[0])
        told = {"row": first, "file_name": one[first]["file_name"], "imported": one[first]["value"]}
        assert found["first"][0] == {**told, "run": two[first]["value"]}
    allowed = salmu(*words[:-1], "--against", runs / WORLD / "_references" / "clean", "--tolerance", 2000)
    assert "rank: no row of 16 differs" in allowed.stdout


def change(table, key, field, value):
    def made(content):
        content[table][key][field] = value(content[table][key][field])

    return made


RANKS, SCORES = ("efficacy", "1.1_RetFail", "outcomes"), ("efficacy", "1.2_AssocStr", "scores")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda c: c.pop("utility"), "no evaluation file .* has no utility/2.1_GenKnow"),
        (lambda c: c["efficacy"].pop("1.3_ACS"), "has no efficacy/1.3_ACS"),
        (lambda c: c["efficacy"]["1.1_RetFail"].pop("outcomes"), "has no efficacy/1.1_RetFail/outcomes"),
        (change(*RANKS, lambda ranks: ranks[:-1]), "has 15 values, and the forget set 16 rows"),
        (change(*SCORES, lambda scores: scores * 2), "has 32 values, and the forget set 16 rows"),
        (change(*RANKS, lambda ranks: [-1, *ranks[1:]]), "outcomes, row 0 is -1, which stands for what was skipped"),
        (change(*SCORES, lambda scores: [*scores[:-1], -1]), "scores, row 15 is -1, which stands for"),
        (change(*RANKS, lambda ranks: [0, *ranks[1:]]), "row 0 is 0, outside 1 to "),
        (change(*SCORES, lambda scores: [3, *scores[1:]]), "row 0 is 3, outside -1 to 1"),
        (change(*SCORES, lambda scores: [None, *scores[1:]]), "row 0 is None, and not a number"),
        (change(*SCORES, lambda scores: [True, *scores[1:]]), "row 0 is True, and not a number"),
        (change(*SCORES, lambda scores: [float("nan"), *scores[1:]]), "NaN is no number in JSON"),
        (change(*SCORES, lambda scores: "all"), "is 'all', and not a list"),
        (change("efficacy", "1.1_RetFail", "MRR", lambda mrr: mrr + 0.1), "contradicts itself: .* RetFail_MRR is"),
        (change("efficacy", "1.1_RetFail", "R@1", lambda _: -1), "contradicts itself: .* RetFail_R@1 is -1"),
        (change("efficacy", "1.3_ACS", "acs_accuracy", lambda _: "\x1b[2J"), r"is '\\x1b\[2J', and not a number"),
    ],
)
def test_what_is_no_such_file_is_refused_and_nothing_kept(runs, theirs, changed, message):
    with pytest.raises(SalmuError, match=message) as caught:
        shelve(theirs(changed), Store(runs), WORLD, 0)
    assert str(caught.value).count("\n") == 0
    assert not (runs / WORLD / "_references" / "imported-theirs").exists()


def test_what_was_skipped_is_no_figure(theirs):
    path = theirs(change("utility", "2.2_InterIdSim", "mean", lambda _: -1))
    assert {"InterIdSim", "GenKnow"}.isdisjoint(read(path, RUNS, 2001).values)


def test_other_names_places_and_models_are_sentences(salmu, runs, theirs, tmp_path):
    words = ("--output", runs, "--benchmark", WORLD)
    odd = shutil.copy(theirs(), tmp_path / "evaluation_\x1b[2J.json")
    for given, message in (
        ((odd, *words), "is not called as an evaluation file is"),
        ((tmp_path / "evaluation_gone.json", *words), "evaluation_gone.json is missing"),
        ((theirs(), "--output", tmp_path / "none", "--benchmark", WORLD), "has no Clean of tiny"),
        ((*words, "--against", runs), "give the file too"),
        ((theirs(), *words, "--budget", "inf"), "--budget is inf: give a number"),
    ):
        done = salmu("import", *given)
        assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr, done.stderr
    clean = runs / WORLD / "_references" / "clean"
    metrics = clean / "metrics.json"
    metrics.write_text(metrics.read_text().replace("0", "1", 1))
    assert "damaged" in salmu("export", clean).stderr
