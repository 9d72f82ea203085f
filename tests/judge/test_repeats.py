"""Worlds, seeds and people together: what varies, what is shown, and whose place is whose."""

import numpy as np
import pytest
from scipy import stats
from studies import alone

from salmu_core.judge.repeats import Repeats, noise, places, shown_higher
from salmu_core.judge.statistics import Clusters, interval


def places_of(figures):
    """First and last place of each."""
    return places(shown_higher(figures), len(figures))


def test_worlds_are_the_unit_of_what_they_vary():
    means = [0.30, 0.34, 0.29]
    repeats = Repeats({str(w): {0: Clusters.alone(m)} for w, m in enumerate(means)})
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (repeats.value, repeats.interval().low, repeats.interval().high) == pytest.approx(
        (np.mean(means), low, high)
    )
    assert repeats.p_value() == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_worlds_that_happen_to_agree_are_no_more_certain_than_their_people_allow():
    values = np.random.default_rng(20).normal(0.3, 0.1, 50)
    rows = Clusters.of(values, [str(i) for i in range(50)])
    interval_over_worlds = Repeats({str(w): {0: rows} for w in range(3)}).interval()
    error = values.std(ddof=1) / np.sqrt(50)
    assert interval_over_worlds.high - interval_over_worlds.low == pytest.approx(
        2 * stats.t.ppf(0.975, 2) * error / np.sqrt(3), rel=1e-6
    )


def test_seeds_and_people_are_joined_by_their_ends():
    rng = np.random.default_rng(21)
    people = [str(i) for i in range(80)]
    base = rng.exponential(1, 80)
    runs = {seed: Clusters.of(base + shift, people) for seed, shift in enumerate((-0.2, 0.0, 0.3))}
    joined, mean = Repeats({"w": runs}).interval(), interval(Clusters.average([*runs.values()]))
    means = [run.mean for run in runs.values()]
    seeds = stats.t.ppf(0.975, 2) * np.std(means, ddof=1) / np.sqrt(3)
    assert joined.value == pytest.approx(np.mean(means))
    assert joined.low == pytest.approx(joined.value - np.hypot(mean.value - mean.low, seeds))
    assert joined.high == pytest.approx(joined.value + np.hypot(mean.high - mean.value, seeds))
    alike = Repeats({"w": {seed: runs[0] for seed in range(3)}}).interval()
    assert (alike.low, alike.high) == pytest.approx((interval(runs[0]).low, interval(runs[0]).high))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_over_people_and_seeds_cover(seeds):
    """Both are drawn anew each time, as another study would draw them."""
    rng, covered, rejected, times = np.random.default_rng(22), 0, 0, 300
    for _ in range(times):
        person = rng.normal(0, 0.3, 60)
        runs = {
            seed: Clusters.of(person + shift + rng.normal(0, 0.1, 60), [str(i) for i in range(60)])
            for seed, shift in enumerate(rng.normal(0, 0.05, seeds))
        }
        repeats = Repeats({"w": runs})
        ends = repeats.interval()
        covered += ends.low <= 0 <= ends.high
        rejected += repeats.p_value() < 0.05
    assert 0.92 <= covered / times <= 1 and rejected / times <= 0.08


def test_differences_are_paired_by_world_seed_and_row():
    rng = np.random.default_rng(23)
    people = [str(i) for i in range(40)]

    def repeats(shift, worlds, seeds):
        return Repeats(
            {
                str(w): {s: Clusters.of(rng.normal(size=40) * 0.01 + 5 * w + shift, people) for s in range(seeds)}
                for w in worlds
            }
        )

    high, low = repeats(0.5, (0, 1, 2), 3), repeats(0.0, (1, 2, 3), 2)
    gap = high.minus(low)
    assert set(gap.worlds) == {"1", "2"} and all(set(runs) == {0, 1} for runs in gap.worlds.values())
    assert gap.value == pytest.approx(0.5, abs=0.01) and gap.p_value() < 0.05
    with pytest.raises(ValueError, match="in common"):
        high.minus(repeats(0.0, (7,), 1))


def test_ratios_are_those_of_the_means():
    rng = np.random.default_rng(24)
    people = np.repeat([str(i) for i in range(50)], rng.integers(1, 9, 50)).tolist()
    before, after = rng.random(len(people)), rng.random(len(people)) / 3
    ratio = Clusters.of(after, people).per(Clusters.of(before, people))
    assert ratio.mean == pytest.approx(after.mean() / before.mean())
    ours, names = interval(ratio), np.array(people)
    rows = [names == person for person in np.unique(names)]
    draws = []
    for _ in range(2000):
        chosen = [rows[i] for i in rng.integers(0, 50, 50)]
        draws.append(sum(after[r].sum() for r in chosen) / sum(before[r].sum() for r in chosen))
    low, high = np.percentile(draws, [2.5, 97.5])
    assert (ours.low, ours.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))
    with pytest.raises(ValueError, match="0 is no figure"):
        Clusters.of(after, people).per(Clusters.of([0.0] * len(people), people))


def test_a_ratio_to_nearly_nothing_is_wide_and_no_error():
    """As on a benchmark of a few people: one holds all of the lower part, or it is 0 without her."""
    people = [str(i) for i in range(5)]
    upper = Clusters.of([0.1, 0.2, 0.1, 0.3, 0.2], people)
    for lower in ([0, 0, 0, 0, 1.0], [0.5, -0.4, 0.3, -0.3, 0.2], [0, 0, 1, 0, 1.0]):
        ratio = interval(upper.per(Clusters.of(lower, people)))
        assert ratio.low <= ratio.value <= ratio.high and not np.isnan([ratio.low, ratio.high]).any()


def test_places_are_shared_by_what_is_not_told_apart():
    rng = np.random.default_rng(25)
    people = [str(i) for i in range(60)]
    person = rng.normal(size=60)
    levels = (3.0, 1.0, 1.0, 0.0)
    figures = [alone(Clusters.of(person + level + rng.normal(0, 0.2, 60), people)) for level in levels]
    assert places_of(figures) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    noisy = [alone(Clusters.of(level * 0.01 + rng.normal(0, 2, 60), people)) for level in levels]
    assert places_of(noisy) == [(1, 4)] * 4


def test_the_places_of_equals_hold_all_together():
    """Of four that are equal, some place is wrongly denied in at most 5% of studies."""
    rng, wrong = np.random.default_rng(26), 0
    for _ in range(300):
        person = rng.normal(size=40)
        figures = [alone(Clusters.of(person + rng.normal(0, 0.5, 40), [str(i) for i in range(40)])) for _ in range(4)]
        wrong += places_of(figures) != [(1, 4)] * 4
    assert wrong / 300 <= 0.08


@pytest.mark.parametrize("worlds", [3, 5, 10])
def test_fewer_worlds_do_not_make_equivalence_easier(worlds):
    """A model twice as far from Clean as Clean models are from each other is hardly ever called equivalent."""
    rng, far, called = np.random.default_rng(30), 2 * 1.96 * np.sqrt(2), 0
    for _ in range(1500):
        margin = noise(rng.normal(0, 1, worlds))
        gaps = rng.normal(far, 0.3, worlds)
        called += Repeats({str(w): {0: Clusters.alone(gap)} for w, gap in enumerate(gaps)}).within(margin)
    assert called / 1500 <= 0.05


def test_nothing_is_certain_because_nothing_varied():
    agreed = Repeats({"a": {0: Clusters.alone(0.1)}, "b": {0: Clusters.alone(0.1)}})
    assert agreed.p_value() == 1 and agreed.interval().high == np.inf
    seven = [str(i) for i in range(7)]
    assert alone(Clusters.of([0.1] * 7, seven)).p_value() == pytest.approx(2 * 0.5**7)
    assert alone(Clusters.of([0.3] * 10, [str(i) for i in range(10)])).p_value() == pytest.approx(2 * 0.5**10)
    assert alone(Clusters.of([0.0] * 7, seven)).p_value() == 1


def test_a_ratio_that_one_person_holds_is_known_by_nobody():
    ratio = Clusters.of([1, 0, 0, 0, 0], "abcde").per(Clusters.of([1, 0, 0, 0, 0], "abcde"))
    for repeats in (alone(ratio), Repeats({"w": {0: ratio, 1: ratio}}), Repeats({"a": {0: ratio}, "b": {0: ratio}})):
        assert repeats.p_value() == 1 and repeats.interval().high == np.inf


def test_seeds_of_other_rows_are_taken_by_their_means():
    rows, more = Clusters.of([0.1, 0.3], ["a", "b"]), Clusters.of([0.2, 0.4, 0.6], ["a", "b", "c"])
    repeats = Repeats.of({"w": {0: rows, 1: more, 2: Clusters.alone(0.3)}})
    assert repeats.value == pytest.approx(0.3) and repeats.interval().high == np.inf
    assert Repeats.of({"w": {0: rows, 1: rows}}).worlds["w"][0] is rows


def test_one_world_tells_nothing_where_there_are_several():
    people, rng = [str(i) for i in range(60)], np.random.default_rng(32)

    def repeats(level, worlds):
        return Repeats({str(w): {0: Clusters.of(level + 0.01 * rng.normal(size=60), people)} for w in range(worlds)})

    assert places_of([repeats(1.0, 3), repeats(0.0, 3)]) == [(1, 1), (2, 2)]
    assert places_of([repeats(1.0, 1), repeats(0.0, 1)]) == [(1, 1), (2, 2)]
    assert places_of([repeats(1.0, 3), repeats(0.0, 3), repeats(0.5, 1)]) == [(1, 2), (2, 3), (1, 3)]
    apart = Repeats({"other": {0: Clusters.of([0.1, 0.2], ["a", "b"])}})
    assert places_of([repeats(1.0, 3), repeats(0.0, 3), apart]) == [(1, 2), (2, 3), (1, 3)]
