"""The recovered share, against a few lines of numpy and scipy; and what is said where there is none."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from attacked_models import KEY, PEOPLE, Models, X, attack_record, attacked
from entries import declaration, entry
from scipy import stats
from studies import record

from salmu_core.disk.hashing import EVERY_BYTE
from salmu_core.judge.attacked import Attacked, read_attacks
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.recovery import recoveries
from salmu_core.judge.results import Reference, Results, Row
from salmu_core.show.attacks import highlights
from salmu_core.store.attacks import ATTACK, attack_folder
from salmu_core.store.folders import write_record
from salmu_core.store.records import MetricsRecord


def test_one_world_and_one_seed_have_an_interval_over_people():
    models = Models()
    (found,) = recoveries(*models.results())
    assert found.recovered.value == pytest.approx(models.share(0, 0))
    assert found.before.value == pytest.approx(models.share(0, 0, 0))
    assert found.gained.value == pytest.approx(models.share(0, 0) - models.share(0, 0, 0)) and found.shown
    assert found.gained.high - found.gained.low < found.recovered.high - found.recovered.low + 0.02
    clean = models.rows[0, "clean"]
    assert found.clean.value == pytest.approx(np.mean(clean[1]) - np.mean(clean[0]))
    assert found.attacked.value == pytest.approx(np.mean(models.rows[0, 0][1]))
    assert (found.rank, found.leaked, found.figure, found.weak) == (48.5, 4, X, False)

    # Resampling people by hand: the percentiles are near the interval, which is expanded a little.
    codes = np.array([int(p[1:]) for p in PEOPLE])
    over = models.rows[0, 0][1] - clean[1]
    under = models.rows[0, "compromised"][0] - clean[0]
    sums = np.array([np.bincount(codes, values) for values in (over, under)])
    drawn = np.random.default_rng(0).integers(0, 24, (4000, 24))
    low, high = np.quantile(sums[0][drawn].sum(1) / sums[1][drawn].sum(1), [0.025, 0.975])
    assert found.recovered.low == pytest.approx(low, abs=0.2 * (high - low))
    assert found.recovered.high == pytest.approx(high, abs=0.2 * (high - low))
    assert found.recovered.low < found.recovered.value < found.recovered.high


def test_seeds_are_averaged_in_a_world_and_worlds_carry_the_interval():
    models = Models(worlds=3, seeds=2)
    (found,) = recoveries(*models.results())
    shares = np.array([[models.share(world, seed) for seed in range(2)] for world in range(3)]).mean(axis=1)
    low, high = stats.t.interval(0.95, 2, shares.mean(), stats.sem(shares))
    assert (found.recovered.value, found.recovered.low, found.recovered.high) == pytest.approx(
        (shares.mean(), low, high)
    )


def test_clean_brings_back_nothing_of_itself_and_compromised_nearly_all():
    models = Models()
    models.rows[0, 0] = models.rows[0, "clean"]
    (found,) = recoveries(*models.results())
    assert found.recovered.value == found.recovered.low == found.recovered.high == 0.0 and not found.shown
    top = np.mean(models.rows[0, "compromised"][0]) - np.mean(models.rows[0, "clean"][0])
    control = np.mean(models.rows[0, "compromised"][1]) - np.mean(models.rows[0, "clean"][1])
    assert found.control.value == pytest.approx(control / top) and not found.weak


def test_an_attack_that_brings_nothing_from_compromised_is_weak():
    models = Models()
    models.rows[0, "compromised"] = models.rows[0, "compromised"][0], models.rows[0, "clean"][1]
    (found,) = recoveries(*models.results())
    assert found.weak and found.as_json()["weak"] and found.control.value == 0


def test_where_compromised_knows_no_more_than_clean_nothing_can_be_recovered():
    (found,) = recoveries(*Models(compromised=0.1, clean=0.1).results())
    assert found.recovered is None and found.control is None and not found.weak
    assert found.attacked is not None and "nothing of which a share could be recovered" in found.problems[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({(0, "clean"): None}, "Clean under the same attack is not attacked yet"),
        (
            {(0, "compromised"): Attacked(None, "crashed", "it fell")},
            "Compromised under the same attack is crashed: it f",
        ),
        ({(0, 0): Attacked(None, "non-finite", "a weight is NaN")}, "non-finite: a weight is NaN"),
        ({(0, "clean"): attacked(np.ones(96), np.ones(96), digest="other")}, "other rows leaked"),
        ({(0, "clean"): attacked(np.ones(96), np.ones(96), code="other")}, "other data or code made it"),
    ],
)
def test_what_is_missing_is_said_and_no_figure_is_given(change, said):
    (found,) = recoveries(*Models().results(change))
    assert found.recovered is None and found.attacked is None
    assert said in found.problems[0] and found.problems[0].startswith(
        "relearn on one, budget 5: no result of 1 of 1 runs"
    )


LACKS = Attacked(None, "not-measured", "no row has a name")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({(0, who): LACKS for who in (0, 1, "clean", "compromised")}, "no row has a name"),
        ({(0, "clean"): LACKS}, "on Clean, no row has a name"),
    ],
)
def test_what_a_benchmark_has_nothing_for_is_no_fault_of_a_method(change, why):
    (found,) = recoveries(*Models(seeds=2).results(change))
    assert dict(found.not_measured) == {"": why} and found.absence == found.share == "not measured"
    assert (found.problems, found.incomplete, found.verdict) == ((), False, None)
    assert found.gaps == [f"relearn is not measured: {why}"] and found.as_json()["not_measured"] == {"": why}
    assert highlights([SimpleNamespace(label="one", recoveries=[found])]) == []


def test_what_is_measured_of_all_but_the_run_counts_against_it_and_a_failure_is_told_first():
    (found,) = recoveries(*Models().results({(0, 0): LACKS}))
    assert found.incomplete and found.verdict is Verdict.OPEN and found.absence == "no result"
    assert found.problems == ("relearn on one, budget 5: no result of 1 of 1 runs: not-measured: no row has a name",)
    fell = Attacked(None, "crashed", "it fell")
    (found,) = recoveries(*Models().results({(0, 0): LACKS, (0, "clean"): fell}))
    assert "Clean under the same attack is crashed: it fell" in found.problems[0] and not found.incomplete


def test_a_world_without_it_costs_no_other():
    (found,) = recoveries(*Models(worlds=2).results({(1, "clean"): LACKS}))
    assert found.recovered is not None and dict(found.not_measured) == {} and not found.incomplete
    assert "no result of 1 of 2 runs: Clean under the same attack is not-measured" in found.problems[0]


def lacking(it, *labels):
    """An attack of queries of which some have nothing to ask."""
    record = it.record.model_copy(update={"not_measured": dict.fromkeys(labels, "no row has a name")})
    queries = {label: query for label, query in it.queries.items() if label not in labels}
    return replace(it, record=record, queries=queries)


@pytest.mark.parametrize(
    ("who", "incomplete"), [((0, "clean", "compromised"), False), (("clean",), False), ((0,), True)]
)
def test_of_several_queries_those_are_asked_that_all_models_can_be(who, incomplete):
    models = Models(back=0.5)
    whole = {
        key: replace(attacked(*rows), queries={label: attacked(*rows) for label in ("one", "two", "three")})
        for key, rows in models.rows.items()
    }
    change = whole | {(0, name): lacking(whole[0, name], "one", "two") for name in who}
    (found,) = recoveries(*models.results(change))
    assert (found.query, found.queries, found.incomplete) == ("three", 1, incomplete)
    assert found.recovered.value == pytest.approx(models.share(0, 0))
    assert found.gaps == ["relearn by one, two is not measured: no row has a name"]

    change = whole | {(0, "clean"): lacking(whole[0, "clean"], "one"), (0, 0): lacking(whole[0, 0], "two", "three")}
    (found,) = recoveries(*models.results(change))
    assert found.attacked is None and found.absence == "not measured" and found.incomplete


def test_of_several_queries_all_are_asked_the_one_that_tells_the_run_from_clean_and_the_choice_is_paid_for():
    """One query is easy for anybody: alone it would hide what the other brings from the run."""
    models = Models(run=0.12, back=0.5, added=0.05)
    easy = {key: (before, np.full(96, 0.95) + 0.01 * before) for key, (before, _) in models.rows.items()}
    by_label = {"easy": easy, "telling": models.rows}
    change = {
        key: replace(attacked(*easy[key]), queries={label: attacked(*rows[key]) for label, rows in by_label.items()})
        for key in models.rows
    }
    (found,), (alone,) = recoveries(*models.results(change)), recoveries(*models.results())
    assert (found.query, found.queries, alone.query, alone.queries) == ("telling", 2, "", 1)
    assert found.recovered.value == pytest.approx(models.share(0, 0)) == alone.recovered.value
    ratio = (found.recovered.high - found.recovered.low) / (alone.recovered.high - alone.recovered.low)
    assert ratio == pytest.approx(stats.t.ppf(1 - 0.0125, 23) / stats.t.ppf(1 - 0.025, 23), rel=0.1)

    change[0, "clean"] = replace(change[0, "clean"], queries={"easy": attacked(*easy[0, "clean"])})
    (other,) = recoveries(*models.results(change))
    assert other.recovered is None and "than of the reference models" in other.problems[0]


def test_a_seed_that_fails_costs_no_other():
    models = Models(seeds=2)
    (found,) = recoveries(*models.results({(0, 1): Attacked(None, "crashed", "fell")}))
    assert (
        found.recovered.value == pytest.approx(models.share(0, 0)) and "1 of 2 runs: crashed: fell" in found.problems[0]
    )


def test_configurations_are_told_apart_by_what_differs():
    values = np.full((2, 96), 0.5)
    more = {("relearn", str(k)): attacked(*values, k=k, lr=1) for k in (16, 4)}
    references = dict.fromkeys(("clean", "compromised"), Reference(attacks=more))
    row = Row("r", "mini", "one", record("one"), "valid", attacks=more)
    found = recoveries([row], Results("mini", {"mini": references}, [row]))
    assert [each.label for each in found] == ["relearn k=4", "relearn k=16"]


@pytest.mark.parametrize(
    "change", [{"checkpoint_hash": "other"}, {"data_hash": "other"}, {"metrics": {}}, {"code": "d"}]
)
def test_an_attack_on_something_else_than_is_scored_now_is_not_believed(tmp_path, change):
    leak = entry("Leak", declaration("Leak", columns=(X,), role="leak"), values={X: 0.5})
    folder = attack_folder(tmp_path, KEY)
    folder.mkdir(parents=True)
    write_record(folder / ATTACK, attack_record().model_copy(update={"metrics": {"Leak": leak}}))
    now = leak.model_copy(update={"code_hash": change.pop("code", leak.code_hash)})
    facts = {"benchmark": "mini", "data_hash": "", "checkpoint_hash": "", "metrics": {"Leak": now}}
    facts |= dict.fromkeys(("images_encoded", "captions_encoded", "seconds"), 0)
    (found,) = read_attacks(tmp_path, MetricsRecord(**facts | change), EVERY_BYTE).values()
    assert found.status == "outdated" and "run it again" in found.reason and not found.after


def test_whether_attacks_that_were_asked_for_have_a_result():
    _, results = Models(seeds=2).results()
    assert results.attacked([KEY]) and results.attacked([]) and not results.attacked([KEY, ("other", "abc")])
    for change in ({(0, 1): None}, {(0, 1): Attacked(None, "crashed", "fell")}, {(0, "clean"): None}):
        assert not Models(seeds=2).results(change)[1].attacked([KEY])
    assert Models(seeds=2).results({(0, 1): LACKS, (0, "clean"): LACKS})[1].attacked([KEY])


def test_the_first_screen_speaks_of_attackers_who_need_an_attack():
    found = recoveries(*Models().results())
    (said,) = highlights([SimpleNamespace(label="one", recoveries=found)])
    assert said.startswith("Of the leak, attacks bring back at most: relearn ")
    diagnosis = [replace(it, given=("original",)) for it in found]
    assert highlights([SimpleNamespace(label="one", recoveries=diagnosis)]) == []


def test_an_attack_without_a_result_is_not_said_to_bring_back_nothing():
    found = recoveries(*Models().results({(0, 0): Attacked(None, "crashed", "fell")}))
    assert highlights([SimpleNamespace(label="one", recoveries=found)]) == [
        "Attacks without a result: on 1 line, see the notes."
    ]
