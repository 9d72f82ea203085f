"""The stages of an attack: what each brings back, the curve they make, and when half is back."""

from dataclasses import replace

import numpy as np
import pytest
from attacked_models import PEOPLE, Models, attacked
from scipy import stats

from salmu_core.judge.recovery import recoveries


def test_every_stage_is_told_as_the_means_of_its_rows_have_it_and_one_counts_as_a_query_does():
    models = Models(seeds=2, back=0.5)
    early = {key: (before, before + 0.01) for key, (before, _) in models.rows.items()}
    by_label = {"late": models.rows, "early": early}
    stages = [{"label": label, "curve": "one", "step": n, "values": {}} for n, label in enumerate(by_label)]
    change = {}
    for key, rows in models.rows.items():
        it = attacked(*rows)
        record = it.record.model_copy(update={"details": {"stages": stages, "worst": "late"}})
        parts = {label: attacked(*rows[key]) for label, rows in by_label.items()}
        change[key] = replace(it, record=record, queries=parts)
    (found,) = recoveries(*models.results(change))
    assert (found.query, found.queries) == ("late", 2) and found.as_json()["stages"] == [*found.stages]
    gap = np.mean(models.rows[0, "compromised"][0]) - np.mean(models.rows[0, "clean"][0])
    for told, (label, rows) in zip(found.stages, by_label.items(), strict=True):
        run, clean, top = (
            np.mean([rows[0, who][1] for who in each]) for each in ((0, 1), ("clean",), ("compromised",))
        )
        figures = {"attacked": run, "clean": clean, "compromised": top, "recovered": (run - clean) / gap}
        assert {name: told[name] for name in figures} == pytest.approx(figures)
        assert (told["label"], told["curve"]) == (label, "one") and told["step"] == [*by_label].index(label)
    assert found.recovered.value == pytest.approx(found.stages[0]["recovered"])
    (plain,) = recoveries(*models.results())
    assert plain.stages == ()


def curved(steps, shares, before=0.02, worlds=1, seeds=1):
    """Models attacked by stages, whose runs have some shares back at some steps; and the rows of each stage."""
    models = Models(worlds=worlds, seeds=seeds, run=0.1 + 0.8 * before, added=0.0)
    stages = [{"label": f"{n}", "curve": "one", "step": step, "values": {}} for n, step in enumerate(steps)]
    rng, rows, change = np.random.default_rng(5), {}, {}
    for (world, who), (own, after) in models.rows.items():
        top, bottom = (models.rows[world, role][0] for role in ("compromised", "clean"))
        rows[world, who] = [
            bottom + share * (top - bottom) + 0.01 * rng.normal(size=96) if isinstance(who, int) else after
            for share in shares
        ]
        it = attacked(own, after)
        record = it.record.model_copy(update={"details": {"stages": stages, "worst": "0"}})
        parts = {f"{n}": attacked(own, values) for n, values in enumerate(rows[world, who])}
        change[world, who] = replace(it, record=record, queries=parts)
    return models, rows, recoveries(*models.results(change))[0]


def shares_of(models, rows, world, seed):
    """At the checkpoint and at each stage, of means."""
    (top, _), (bottom, _) = (np.mean(models.rows[world, role], axis=1) for role in ("compromised", "clean"))
    after = [np.mean(run) - np.mean(clean) for run, clean in zip(rows[world, seed], rows[world, "clean"], strict=True)]
    return np.array([np.mean(models.rows[world, seed][0]) - bottom, *after]) / (top - bottom)


def test_the_mean_share_on_the_way_is_the_area_under_the_curve_and_half_of_it_lies_between_two_stages():
    steps = [30, 10, 100]  # in whatever order
    models, rows, found = curved(steps, [0.4, 0.1, 0.9])
    (curve,) = found.curves
    start, late, early, last = shares_of(models, rows, 0, 0)
    x, y = [0, 10, 30, 100], [start, early, late, last]
    assert curve["mean"].value == pytest.approx(np.trapezoid(y, x) / 100)
    assert (curve["curve"], curve["steps"]) == ("one", 100)
    assert curve["half"] == pytest.approx(30 + 70 * (0.5 - late) / (last - late)) and 30 < curve["half"] < 100
    assert found.as_json()["curves"][0]["mean"]["value"] == curve["mean"].value

    # Resampling people by hand.
    clean, top = (np.array(models.rows[0, role][0]) for role in ("clean", "compromised"))
    gaps = [models.rows[0, 0][0] - clean] + [rows[0, 0][n] - rows[0, "clean"][n] for n in (1, 0, 2)]
    codes = np.array([int(p[1:]) for p in PEOPLE])
    over = np.array([np.bincount(codes, values) for values in gaps])
    under = np.bincount(codes, top - clean)
    drawn = np.random.default_rng(0).integers(0, 24, (4000, 24))
    areas = np.trapezoid(over[:, drawn].sum(2), x, axis=0) / 100 / under[drawn].sum(1)
    low, high = np.quantile(areas, [0.025, 0.975])
    assert curve["mean"].low == pytest.approx(low, abs=0.2 * (high - low))
    assert curve["mean"].high == pytest.approx(high, abs=0.2 * (high - low))


def test_over_worlds_a_curve_has_their_interval():
    models, rows, found = curved([0.1, 0.5], [0.3, 0.8], worlds=3, seeds=2)
    y = np.array([np.mean([shares_of(models, rows, w, s) for s in range(2)], axis=0) for w in range(3)])
    means = np.trapezoid(y, [0, 0.1, 0.5], axis=1) / 0.5
    low, high = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    (curve,) = found.curves
    assert (curve["mean"].value, curve["mean"].low, curve["mean"].high) == pytest.approx((means.mean(), low, high))


@pytest.mark.parametrize(
    ("steps", "shares", "before", "half"),
    [([1, 2], [0.1, 0.4], 0.02, None), ([1, 2], [0.1, 0.2], 0.7, 0.0), ([1, 2, 4], [0.9, 0.1, 0.9], 0.1, 0.5)],
)
def test_half_is_back_never_at_once_or_for_the_first_time(steps, shares, before, half):
    *_, found = curved(steps, shares, before)
    told = found.curves[0]["half"]
    assert told == half if half in (None, 0.0) else told == pytest.approx(half, abs=0.05)


@pytest.mark.parametrize("steps", [[5], [None, None], [0, 1], [-1, 1], [3, None]])
def test_one_stage_and_stages_that_are_nowhere_are_no_curve(steps):
    *_, found = curved(steps, [0.2, 0.4][: len(steps)])
    assert found.curves == () and len(found.stages) == len(steps)
