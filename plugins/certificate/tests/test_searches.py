"""People are judged by whatever search a study was scored with, under whatever name."""

import numpy as np
import pytest
from certificates import GALLERY, GONE, HALF, HIDDEN, LEAKS, ONE, PLACE, TRACE, UNKNOWN, Page, measure, score, write_run

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.splits import read_evaluation
from salmu_core.contract.results import MetricResult, PerRow, Ranks

# Metrics of others


@pytest.fixture(scope="module")
def others(ground, zoo, tmp_path_factory):
    """A run scored without the protocol's search: by one of another name, one more, and a leak without ranks."""
    benchmark = open_benchmark(str(ground), zoo, lambda *_: None)
    data = read_evaluation(benchmark.data, benchmark.zeroshot)
    root = tmp_path_factory.mktemp("others") / "runs" / benchmark.name
    people = data.names("forget")[1]
    made_up = {name: ("RetFail", {}) for name in ("Whisper", "Murmur")}
    made_up["Echo"] = ("AssocStr", {"role": "leak", "bounds": (0, 1)})

    def results(role, names):
        found = measure(data, role)
        found["Whisper"] = found.pop("RetFail")
        heard = [role == "compromised" or (role == "run" and who == TRACE) for who in people]
        quiet = np.random.default_rng(9).uniform(0, 0.1, len(people))
        echo = MetricResult(per_row=PerRow("forget", np.where(heard, 0.9, quiet)))
        ranks = np.where([role == "compromised" or (role == "run" and who == GONE) for who in people], 1.0, 900.0)
        rows = {"MRR": 1 / ranks, "R@1": (ranks == 1).astype(float)}
        murmur = MetricResult(per_row=PerRow("forget", rows), ranks=Ranks("forget", ranks, GALLERY))
        return found | {name: made for name, made in (("Echo", echo), ("Murmur", murmur)) if name in names}

    runs = {}
    for method, names in {"whisper": (), "echo": ("Echo",), "murmur": ("Murmur",)}.items():
        home = root.parent / method / root.name
        for role in ("compromised", "clean"):
            weights = benchmark.model_hash(role)
            score(home / "_references" / role, zoo, data, benchmark, results(role, names), weights, made_up)
        runs[method] = home / method / PLACE
        checkpoint = write_run(runs[method], benchmark)
        score(runs[method], zoo, data, benchmark, results("run", names), checkpoint, made_up)
    return runs


def test_a_search_of_another_name_says_what_the_protocols_says(certify, good, others):
    for identity in (LEAKS, GONE, ONE, HIDDEN, UNKNOWN, HALF):
        known, _ = certify(good, identity)
        found, _ = certify(others["whisper"], identity)
        assert [v.word for v in found.verdicts] == [v.word for v in known.verdicts]
        assert found.pairs == known.pairs and found.standing == known.standing and found.summaries == known.summaries
        assert found.verdicts[0].said == known.verdicts[0].said
    trials = {trial.column: trial for trial in found.trials}
    assert "Whisper_MRR" in trials and not any(name.startswith("RetFail") for name in trials)
    assert trials["Whisper_MRR"].what == {t.column: t.what for t in known.trials}["RetFail_MRR"]
    assert "Whisper_MRR" in found.population.figures


def test_a_leak_without_ranks_can_show_that_something_is_left(certify, others):
    trace, _ = certify(others["echo"], TRACE)
    verdict = trace.verdicts[0]
    assert (verdict.word, verdict.leaking, verdict.found) == ("still retrievable", ("Echo",), ())
    assert "By Echo: 0.900 (0.900 before, " in " ".join(verdict.reasons)
    gone, page = certify(others["echo"], GONE)
    assert gone.verdicts[0].word == "not retrievable any more" and gone.verdicts[0].leaking == ()
    assert "Echo" in Page(page).text


def test_what_any_search_finds_is_found(certify, others):
    found, _ = certify(others["murmur"], GONE)
    verdict = found.verdicts[0]
    assert verdict.word == "still retrievable" and len(verdict.found) == 4
    assert "mean reciprocal rank 1.0000" in verdict.said  # by the search by which more is left
    assert certify(others["murmur"], TRACE)[0].verdicts[0].found == ()
