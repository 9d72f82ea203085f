"""Intervals cover what they should, and agree with scipy, scikit-learn and a few lines of numpy."""

import numpy as np
import pytest
from scipy import stats
from studies import alone

from salmu_core.judge import statistics
from salmu_core.judge.repeats import noise
from salmu_core.judge.statistics import NOBODY, Clusters, Interval, holm, interval, tpr_at_fpr, worst


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
    ("worlds", "bounds"), [(200, (0.91, 0.99)), pytest.param(2500, (0.93, 0.97), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["cosine", "hit", "reciprocal rank"])
def test_95_percent_intervals_cover_95_percent(kind, worlds, bounds):
    rng = np.random.default_rng(7)
    truth = np.mean([world(rng, 3000, kind)[0].mean() for _ in range(40)])
    samples = [Clusters.of(*world(rng, 72, kind)) for _ in range(worlds)]
    intervals = [interval(rows) for rows in samples]
    covered = np.mean([i.low <= truth <= i.high for i in intervals])
    assert bounds[0] <= covered <= bounds[1]
    if kind == "hit":  # rows taken for independent would be sure of themselves, and wrong
        naive = [1.96 * np.sqrt(r.mean * (1 - r.mean) / r.counts.sum()) for r in samples]
        assert np.mean([abs(r.mean - truth) <= n for r, n in zip(samples, naive, strict=True)]) < 0.85
    null = [Clusters(r.names, r.sums - truth * r.counts, r.counts) for r in samples]
    assert 0.02 <= np.mean([alone(rows).p_value() < 0.05 for rows in null]) <= 0.09


def test_without_clusters_it_is_scipys_bca():
    values = np.random.default_rng(1).exponential(size=400)
    ours = interval(Clusters.of(values, [str(i) for i in range(400)]))
    scipys = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(5))
    width = scipys.confidence_interval.high - scipys.confidence_interval.low
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(scipys.confidence_interval.low, abs=0.06 * width)
    assert ours.high == pytest.approx(scipys.confidence_interval.high, abs=0.06 * width)


@pytest.mark.parametrize("people, level", [(15, 0.95), (288, 0.9), (1203, 0.99), (6000, 0.95)])
def test_intervals_over_people_are_those_of_scipys_resampling(people, level):
    rng = np.random.default_rng(people)
    rows = Clusters(("",) * people, rng.exponential(size=people), rng.integers(1, 9, people).astype(float))
    scipys = stats.bootstrap(
        (rows.sums, rows.counts),
        lambda sums, counts, axis: sums.sum(axis=axis) / counts.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        batch=10_000_000 // people,
        confidence_level=level,
        rng=np.random.default_rng(42),
    ).confidence_interval
    ours = statistics._bootstrap(rows, level)
    assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), rel=1e-13)


def test_the_unit_is_the_person():
    """Resampling people by a loop gives the same interval; one that draws rows would be far narrower."""
    rng = np.random.default_rng(3)
    values, people = world(rng, 300, "cosine")
    ours, names = interval(Clusters.of(values, people)), np.array(people)
    groups = [values[names == person] for person in np.unique(names)]
    draws = [np.concatenate([groups[i] for i in rng.integers(0, 300, 300)]).mean() for _ in range(2500)]
    low, high = np.percentile(draws, [2.5, 97.5])
    assert (ours.low, ours.high) == (pytest.approx(low, abs=0.002), pytest.approx(high, abs=0.002))
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
    assert alone(after - before).p_value() < 1e-6 < alone(before - before).p_value() == 1
    with pytest.raises(ValueError, match="same rows"):
        before - Clusters.of(values[:-1], people[:-1])


def test_p_is_students_where_every_person_has_one_row():
    values = np.random.default_rng(9).normal(0.2, 1, 40)
    rows = Clusters.of(values, [str(i) for i in range(40)])
    assert alone(rows).p_value() == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


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
    assert alone(rows).within(0.1) == expected
    lower = stats.ttest_1samp(values, -0.1, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    assert (max(lower, upper) < 0.05) == expected


def test_a_noisy_figure_is_not_equivalent_however_close():
    values = np.random.default_rng(11).normal(0, 2.0, 30)
    values -= values.mean()
    assert not alone(Clusters.of(values, [str(i) for i in range(30)])).within(0.1)


def test_the_margin_is_what_95_percent_of_differences_between_models_that_never_saw_stay_below():
    rng = np.random.default_rng(12)
    models = rng.normal(0.1, 0.02, 3000)
    differences = np.abs(models[:1500] - models[1500:])
    assert np.mean(differences <= noise(models)) == pytest.approx(0.95, abs=0.015)
    with pytest.raises(ValueError, match="2 of them"):
        noise([0.3, 0.31])


@pytest.mark.parametrize("people", [2, 3, 4, 6, 10, 14])
def test_intervals_over_few_people_cover(people):
    rng, names = np.random.default_rng(31), [str(i) for i in range(people)]
    intervals = [interval(Clusters.of(rng.normal(size=people), names)) for _ in range(400)]
    assert np.mean([ends.low <= 0 <= ends.high for ends in intervals]) >= 0.91


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
