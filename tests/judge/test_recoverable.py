"""When a method is recoverable, against a few lines of numpy; and that many attacks are no false alarm."""

from dataclasses import replace

import numpy as np
import pytest
from attacked_models import PEOPLE, Models, X, beside_attacked, spread
from entries import declaration, entry, shown
from scipy import stats
from studies import Maker

from salmu_core.contract.attack import AttackSpec
from salmu_core.judge.attacked import Attacked
from salmu_core.judge.compare import compare
from salmu_core.judge.diagnosis import RECOVERABLE, Evidence, Verdict, diagnose
from salmu_core.judge.recoverable import Recovery, judged, worst
from salmu_core.judge.recovery import recoveries
from salmu_core.judge.repeats import Repeats
from salmu_core.judge.statistics import Clusters, Interval
from salmu_core.show.words import modes, verdict

HOLDS, OPEN, CLEAR = Verdict.HOLDS, Verdict.OPEN, Verdict.CLEAR
#: Their bar is 1%, and nobody gets further from them by an attack than the figure's own interval says.
ALL = Interval(0.9, 0.8, 1.0)


def people(mean, spread, seed=0, count=24):
    """A share of each person, whose mean over people is just this."""
    drawn = np.random.default_rng(seed).normal(size=count)
    return mean + spread * (drawn - drawn.mean())


def recovery(shares, queries=1, control=ALL, label="one", **more):
    """An attack that brings back these shares of a leak that is the same for everybody."""
    names = tuple(f"person p{n:02d}" for n in range(len(shares)))
    repeats = Repeats({"mini": {0: Clusters(names, np.asarray(shares), np.ones(len(shares)))}})
    recovered = repeats.interval(1 - 0.05 / queries)
    facts = {"attack": label, "config_hash": "", "figure": X, "shares": {"": repeats}, "queries": queries}
    return Recovery(label=label, recovered=recovered, control=control, **facts | more)


def p_by_hand(shares, bar=0.01):
    """Two-sided, of the mean over people: Student's t, as the jackknife of a mean is its standard error."""
    return stats.ttest_1samp(shares, bar).pvalue if np.mean(shares) > bar else 1.0


@pytest.mark.parametrize(
    ("mean", "spread", "said"),
    [
        (0.05, 0.02, HOLDS),
        (0.02, 0.05, OPEN),
        (0.005, 0.05, OPEN),
        (0.0, 0.01, CLEAR),
        (-0.3, 0.05, CLEAR),
    ],
)
def test_the_whole_interval_decides(mean, spread, said):
    (found,) = judged([recovery(people(mean, spread))])
    half = stats.t.ppf(0.975, 23) * spread * np.std(np.random.default_rng(0).normal(size=24), ddof=1) / np.sqrt(24)
    by_hand = HOLDS if mean - half > 0.01 else CLEAR if mean + half < 0.01 else OPEN
    assert found.verdict is said is by_hand and found.p == pytest.approx(p_by_hand(people(mean, spread)))


def test_the_worst_of_many_attacks_is_paid_for():
    alarming = people(0.045, 0.08)
    alone, five = p_by_hand(alarming), judged([recovery(alarming), *(recovery(people(0.0, 0.01, n)) for n in range(4))])
    assert 0.01 < alone < 0.05 and recovery(alarming).recovered.low > 0.01
    assert judged([recovery(alarming)])[0].verdict is HOLDS
    assert five[0].p == pytest.approx(5 * alone)  # the four below the bar are tries as well
    assert five[0].verdict is OPEN and worst(five).verdict is OPEN
    beside = judged([recovery(alarming), *(recovery(people(0.0, 0.01, n), given=("original",)) for n in range(4))])
    assert beside[0].verdict is HOLDS and beside[0].p == pytest.approx(alone)  # what is not judged is no try


def test_p_is_holms_over_attacks_and_bonferronis_over_their_stages():
    shares, queries = [people(0.05, 0.1), people(0.04, 0.1, 1), people(0.03, 0.1, 2)], (1, 3, 2)
    raw = [min(1, p_by_hand(x) * q) for x, q in zip(shares, queries, strict=True)]
    order = np.argsort(raw)
    by_hand = dict(zip(order, np.minimum(1, np.maximum.accumulate(np.array(raw)[order] * [3, 2, 1])), strict=True))
    found = judged([recovery(x, q) for x, q in zip(shares, queries, strict=True)])
    assert {n: it.p for n, it in enumerate(found)} == pytest.approx(by_hand)


def test_six_attacks_that_bring_back_no_more_than_the_bar_seldom_raise_an_alarm():
    """Each of the six by itself would in one of forty tries, and so some of six in one of seven."""
    rng, alarms, alone = np.random.default_rng(7), 0, 0
    for _ in range(60):
        six = [recovery(rng.normal(0.01, 0.05, 24)) for _ in range(6)]
        alarms += any(it.verdict is HOLDS for it in judged(six))
        alone += any(it.recovered.low > it.bar for it in six)
    assert alarms <= 3 < alone


def test_every_stage_must_stay_below_the_bar():
    low, wide = recovery(people(0.002, 0.002)), recovery(people(0.0, 0.1, 1))
    shares = {"worst": low.shares[""], "wide": wide.shares[""]}
    (clear,) = judged([replace(low, query="worst", shares={"worst": shares["worst"]})])
    (unsure,) = judged([replace(low, query="worst", shares=shares)])
    assert (clear.verdict, unsure.verdict) == (CLEAR, OPEN)


def test_who_holds_the_original_needs_no_attack_and_no_verdict_rests_on_it():
    (found,) = judged([recovery(people(0.9, 0.01), given=("original",))])
    assert found.verdict is None and found.p is None and not found.is_judged and worst([found]) is None
    facts = {"name": "x", "summary": "A test.", "paper": "https://example.org", "model": lambda ctx: None}
    assert not AttackSpec(**facts, given=("original",)).is_judged and AttackSpec(**facts, given=("retain",)).is_judged


def test_what_brings_back_too_little_even_from_compromised_clears_nobody():
    weak = Interval(0.05, 0.005, 0.1)
    (harmless,) = judged([recovery(people(0.0, 0.001), control=weak)])
    (alarming,) = judged([recovery(people(0.2, 0.01), control=weak)])
    assert harmless.verdict is None and alarming.verdict is HOLDS  # what is shown is shown


def test_what_makes_attacks_fail_is_not_clear():
    models = Models(run=0.1, back=0.1, added=0.0)
    (fell,) = recoveries(*models.results({(0, 0): Attacked(None, "non-finite", "a weight is NaN")}))
    assert fell.verdict is OPEN and worst([fell]) is fell
    (nobody,) = recoveries(*models.results({(0, "compromised"): Attacked(None, "crashed", "it fell")}))
    assert nobody.verdict is None
    (both,) = recoveries(*models.results({key: Attacked(None, "crashed", "x") for key in models.rows}))
    assert both.verdict is None


def test_where_nothing_was_there_or_one_person_is_all_nothing_is_judged():
    (nothing,) = recoveries(*Models(compromised=0.1, clean=0.1).results())
    (one,) = judged([recovery([0.5], control=Interval(0.9, -np.inf, np.inf))])
    assert nothing.verdict is None and one.verdict is None


def test_from_rows_to_the_verdict():
    (found,) = recoveries(*(models := Models()).results())
    sums = [
        np.bincount([int(p[1:]) for p in PEOPLE], rows)
        for rows in (
            models.rows[0, 0][1] - models.rows[0, "clean"][1],
            models.rows[0, "compromised"][0] - models.rows[0, "clean"][0],
        )
    ]
    excess = sums[0] - 0.01 * sums[1]
    without = (excess.sum() - excess) / (sums[1].sum() - sums[1])
    error = np.sqrt(23 / 24 * ((without - excess.sum() / sums[1].sum()) ** 2).sum())
    p = 2 * stats.t.sf(abs(excess.sum() / sums[1].sum()) / error, 23)
    assert found.p == pytest.approx(p) and found.verdict is HOLDS and found.bar == 0.01
    said = found.as_json()
    assert (said["verdict"], said["is_judged"], said["bar"], said["given"]) == ("holds", True, 0.01, ["leaked"])


def test_nobody_is_asked_to_leak_less_than_a_model_that_guesses():
    models = Models(run=0.1, back=0.15, added=0.0)
    rows, results = models.results()
    ((key, it),) = rows[0].attacks.items()
    record_ = it.record.model_copy(
        update={"metrics": {"Leak": entry("Leak", declaration("Leak", columns=(X,), role="leak"), chance={X: 0.18})}}
    )
    (found,) = recoveries([replace(rows[0], attacks={key: replace(it, record=record_)})], results)
    top, bottom = (np.mean(models.rows[0, role][0]) for role in ("compromised", "clean"))
    assert (
        found.bar == pytest.approx((0.18 - np.mean(models.rows[0, "clean"][1])) / (top - bottom)) and found.bar > 0.05
    )
    assert recoveries(rows, results)[0].verdict is HOLDS and found.verdict is not HOLDS


@pytest.mark.parametrize("told", [(), (None,), (CLEAR,), (CLEAR, OPEN), (OPEN, HOLDS), (None, CLEAR)])
def test_any_attack_shows_it_all_must_be_clear_of_it_and_none_judges_nothing(told):
    found = [replace(recovery(people(1 / (n + 2), 0.1)), verdict=said) for n, said in enumerate(told)]
    deciding = worst(found).verdict if worst(found) else None
    assert deciding is next((said for said in (HOLDS, OPEN, CLEAR) if said in told), None)
    diagnosis = diagnose(Evidence(recoverable=deciding))
    assert diagnosis.verdicts.get(RECOVERABLE) is deciding and RECOVERABLE not in diagnosis.not_measured


# In a table

MAKE = Maker({"clean": {"RetFail_MRR": 0.001, "GenKnow": 0.6}, "compromised": {"RetFail_MRR": 0.2, "GenKnow": 0.6}})
GONE = {"RetFail_MRR": 0.001, "GenKnow": 0.6}


def table(**back):
    """Lines of these methods, each attacked so far as it is said, or not at all (None)."""
    rows = [
        replace(MAKE.row(name, GONE), attacks={} if share is None else spread(0.1, 0.1 + share))
        for name, share in back.items()
    ]
    return compare(beside_attacked(MAKE.results(rows)), shown())


def test_recoverable_counts_among_lines_that_were_all_attacked():
    every = table(hidden=0.3, deleted=0.0)
    assert [line.label for line in every.lines] == ["deleted", "hidden"]
    assert [line.failures for line in every.lines] == [(0, 0), (1, 0)]
    assert "recoverable" in modes(every.lines[1].diagnosis) and "recoverable" in verdict(every.lines[1].diagnosis)
    some = table(hidden=0.3, unasked=None)
    assert {line.label: line.failures for line in some.lines} == {"hidden": (0, 0), "unasked": (0, 0)}
    verdicts = {line.label: line.as_json()["failure_modes"].get(RECOVERABLE) for line in some.lines}
    assert verdicts == {"hidden": "holds", "unasked": None}
