"""The rules of a certificate, held against simulation and other libraries."""

import numpy as np
import pytest
from certificates import GALLERY, PRIVATE
from salmu_certificate.judge import ThreeClusters, better_than_guessing, kept, never_seen, never_seen_people
from scipy import stats

from salmu_core.judge.statistics import Clusters


def test_found_captions_are_those_benjamini_and_hochberg_would_name():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        ranks = np.ceil(rng.uniform(0, rng.choice([20, 200, 2001]), rng.integers(1, 40)))
        expected = stats.false_discovery_control(ranks / GALLERY) <= 0.05
        assert np.array_equal(better_than_guessing((ranks, GALLERY)), expected)
        hits += expected.sum()
        alone = np.ceil(rng.uniform(0, ranks))
        least = np.minimum(np.minimum(ranks / GALLERY, alone / PRIVATE) * 2, 1)
        both = stats.false_discovery_control(least) <= 0.05
        assert np.array_equal(better_than_guessing((ranks, GALLERY), (alone, PRIVATE)), both)
    assert hits > 0
    guesses = [better_than_guessing((rng.integers(1, GALLERY + 1, 36), GALLERY)).any() for _ in range(2000)]
    assert np.mean(guesses) < 0.07
    guesses = []
    for _ in range(2000):
        likely = rng.uniform(size=36)  # that another caption lies above the own one
        private, others = rng.binomial(PRIVATE - 1, likely), rng.binomial(GALLERY - PRIVATE, likely)
        guesses.append(better_than_guessing((1.0 + private + others, GALLERY), (1.0 + private, PRIVATE)).any())
    assert np.mean(guesses) < 0.07


def test_ranges_of_what_was_never_seen_hold_as_many_as_they_say():
    rng = np.random.default_rng(1)
    rows = rng.exponential(size=4000)
    low, high = never_seen(rows[:2000])
    assert np.mean((rows[2000:] < low) | (rows[2000:] > high)) == pytest.approx(0.1, abs=0.03)
    assert never_seen(rows[:18]) is None and never_seen(rows[:19]) == (rows[:19].min(), rows[:19].max())
    shared, beyond = rng.normal(size=600), 0
    figures = {name: shared + rng.normal(size=600) for name in "abcd"} | {"skewed": rng.exponential(size=600)}
    for person in range(600):
        others = {n: {str(i): x for i, x in enumerate(values) if i != person} for n, values in figures.items()}
        ranges, people = never_seen_people(others)
        beyond += any(not ranges[name][0] <= figures[name][person] <= ranges[name][1] for name in figures)
        assert people == 599
    assert 0.03 < beyond / 600 < 0.07
    assert never_seen_people({"a": dict.fromkeys("abc", 1.0)}) == ({}, 3)


def test_without_ranks_what_was_to_be_kept_is_judged_by_cosine():
    def rows(*means):
        return Clusters.of([m + d for m in means for d in (-0.01, 0.01)], [str(i) for i in range(2 * len(means))])

    before, clean = rows(0.6, 0.6, 0.6), rows(0.1, 0.1, 0.1)
    words = [
        kept({"mean cosine": ThreeClusters(before, rows(m, m, m), clean)}, None, "rank").word for m in (0.6, 0.3, 0.0)
    ]
    assert words == ["kept", "kept only in part", "erased by mistake"]
    assert kept({"mean cosine": ThreeClusters(clean, before, clean)}, None, "rank").word == "never shown to be known"
