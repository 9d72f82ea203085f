"""Intervals cover what they should, and agree with scipy, scikit-learn and a few lines of numpy."""

import numpy as np
import pytest
from scipy import stats

from salmu_core.statistics import (
    NOBODY,
    Clusters,
    Interval,
    equivalent,
    holm,
    interval,
    margin,
    over_worlds,
    p_value,
    tpr_at_fpr,
    worst,
)


def world(rng, people, kind):
    """Rows of some people that share an effect each, as captions of one person do."""
    sizes = rng.integers(4, 40, people)
    who = np.repeat(np.arange(people), sizes)
    effect = rng.normal(0, 0.7, people)[who]
    if kind == "cosine":
        values = 0.3 + 0.1 * (effect + rng.normal(size=len(who)))
    elif kind == "hit":
        values = (rng.random(len(who)) < 1 / (1 + np.exp(1 - effect))).astype(float)
    else:
        values = 1 / np.floor(1 + np.exp(2 + effect + rng.normal(size=len(who))))
    return values, [str(person) for person in who]


@pytest.mark.parametrize(
    ("worlds", "bounds"), [(500, (0.92, 0.98)), pytest.param(2500, (0.93, 0.97), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["cosine", "hit", "reciprocal rank"])
def test_95_percent_intervals_cover_95_percent(kind, worlds, bounds):
    rng = np.random.default_rng(7)
    truth = np.mean([world(rng, 3000, kind)[0].mean() for _ in range(40)])
    samples = [Clusters.of(*world(rng, 72, kind)) for _ in range(worlds)]
    found = [interval(rows) for rows in samples]
    covered = np.mean([i.low <= truth <= i.high for i in found])
    assert bounds[0] <= covered <= bounds[1]
    if kind == "hit":  # rows taken for independent would be sure of themselves, and wrong
        naive = [1.96 * np.sqrt(r.mean * (1 - r.mean) / r.counts.sum()) for r in samples]
        assert np.mean([abs(r.mean - truth) <= n for r, n in zip(samples, naive, strict=True)]) < 0.85
    null = [Clusters(r.names, r.sums - truth * r.counts, r.counts) for r in samples]
    assert 0.02 <= np.mean([p_value(rows) < 0.05 for rows in null]) <= 0.09


def test_without_clusters_it_is_scipys_bca():
    values = np.random.default_rng(1).exponential(size=400)
    found = interval(Clusters.of(values, [str(i) for i in range(400)]))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(5))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_the_unit_is_the_person():
    """Resampling people by a loop gives the same interval; one that draws rows would be far narrower."""
    rng = np.random.default_rng(3)
    values, people = world(rng, 300, "cosine")
    found, names = interval(Clusters.of(values, people)), np.array(people)
    groups = [values[names == person] for person in np.unique(names)]
    draws = [np.concatenate([groups[i] for i in rng.integers(0, 300, 300)]).mean() for _ in range(2500)]
    low, high = np.percentile(draws, [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.002), pytest.approx(high, abs=0.002))
    rows = interval(Clusters.of(values, [f"{i}" for i in range(len(values))]))
    assert rows.high - rows.low < 0.5 * (high - low)


def test_same_rows_same_bits_in_any_order():
    values, people = world(np.random.default_rng(4), 50, "reciprocal rank")
    order = np.random.default_rng(5).permutation(len(values))
    shuffled = Clusters.of(values[order], [people[i] for i in order])
    first = interval(Clusters.of(values, people))
    assert first == interval(Clusters.of(values, people))
    assert shuffled.names == Clusters.of(values, people).names
    assert interval(shuffled).low == pytest.approx(first.low, abs=1e-12)


def test_what_nobody_is_shown_in_is_many_clusters():
    values = np.random.default_rng(6).normal(size=5000)
    rows = Clusters.of(values, [None] * 5000)
    assert len(rows) == NOBODY and rows.mean == pytest.approx(values.mean())
    assert rows.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(5000), rel=0.1)


def test_degenerate_rows():
    assert interval(Clusters.of([0.5, 0.5, 0.5], ["a", "b", "c"])) == Interval(0.5, 0.5, 0.5)
    alone = interval(Clusters.of([0.1, 0.2], ["a", "a"]))
    assert (alone.low, alone.high) == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="0 values"):
        Clusters.of([], [])


def test_pairing_removes_what_two_models_share():
    rng = np.random.default_rng(8)
    values, people = world(rng, 60, "cosine")
    before, after = Clusters.of(values, people), Clusters.of(values - 0.01 + rng.normal(0, 0.005, len(values)), people)
    paired = interval(after - before)
    assert paired.high < 0 and paired.value == pytest.approx(-0.01, abs=0.001)
    apart = interval(before)
    assert paired.high - paired.low < 0.2 * (apart.high - apart.low)
    assert p_value(after - before) < 1e-6 < p_value(before - before) == 1
    with pytest.raises(ValueError, match="same rows"):
        before - Clusters.of(values[:-1], people[:-1])


def test_p_is_students_where_every_person_has_one_row():
    values = np.random.default_rng(9).normal(0.2, 1, 40)
    rows = Clusters.of(values, [str(i) for i in range(40)])
    assert p_value(rows) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_holm_is_the_step_down_procedure():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({"x": 0.9, "y": 0.8}) == {"x": 1.0, "y": 1.0} and holm({}) == {}


@pytest.mark.parametrize(("shift", "expected"), [(0.0, True), (0.09, False), (-0.09, False), (0.3, False)])
def test_equivalence_fails_on_both_sides(shift, expected):
    values = np.random.default_rng(10).normal(0, 0.2, 200)
    values += shift - values.mean()
    rows = Clusters.of(values, [str(i) for i in range(200)])
    assert equivalent(rows, 0.1) == expected
    lower = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    assert (max(lower, upper) < 0.05) == expected


def test_a_noisy_figure_is_not_equivalent_however_close():
    values = np.random.default_rng(11).normal(0, 2.0, 30)
    values -= values.mean()
    assert not equivalent(Clusters.of(values, [str(i) for i in range(30)]), 0.1)


def test_worlds_are_the_unit_of_what_they_vary():
    means = [0.30, 0.34, 0.29]
    found = over_worlds(means, [0.001] * 3)
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(means), low, high))
    close = over_worlds([0.3, 0.3, 0.3], [0.02] * 3)
    assert close.high - close.low == pytest.approx(2 * stats.t.ppf(0.975, 2) * 0.02 / np.sqrt(3))
    for call in (lambda: over_worlds([0.3], [0.1]), lambda: margin([0.3])):
        with pytest.raises(ValueError, match=r"one|two"):
            call()


def test_the_margin_holds_95_percent_of_differences_between_models_that_never_saw():
    rng = np.random.default_rng(12)
    inside = [abs(a - b) <= margin(known) for *known, a, b in rng.normal(0.1, 0.02, (4000, 7))]
    assert 0.94 <= np.mean(inside) <= 0.96


def test_tails():
    rows = Clusters.of(np.repeat(np.arange(100) / 100, 3), np.repeat([f"p{i:02d}" for i in range(100)], 3).tolist())
    assert worst(rows, 0.05) == pytest.approx(np.mean([0.95, 0.96, 0.97, 0.98, 0.99]))
    assert worst(rows, 0.001) == pytest.approx(0.99)


def test_the_strict_end_of_the_roc_is_scikit_learns():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(13)
    members, others = rng.normal(1, 1, 3000), rng.normal(0, 1, 5000)
    labels = np.r_[np.ones(3000), np.zeros(5000)]
    fpr, tpr, _ = roc_curve(labels, np.r_[members, others], drop_intermediate=False)
    assert tpr_at_fpr(members, others, 0.001) == pytest.approx(tpr[fpr <= 0.001].max())
    assert tpr_at_fpr(members, others[:100], 0.001) == pytest.approx(np.mean(members > others[:100].max()))
