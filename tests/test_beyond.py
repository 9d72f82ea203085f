"""What is said of the goals of `counterfactual` follows from the intervals, and these from worlds."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def page(imported):
    return imported("docs", "beyond_page")


@pytest.fixture
def boiled(imported):
    return imported("benchmarks/laboratory", "beyond")


def test_the_interval_is_students_over_worlds(boiled):
    values = {"a": [1.0, 3.0], "b": [4.0, 6.0], "c": [2.0, 2.0]}
    rows = [SimpleNamespace(world=world, value=value) for world, each in values.items() for value in each]
    found = boiled.over_worlds(SimpleNamespace(references=dict.fromkeys(values)), rows, lambda row, _: row.value)
    means = np.array([2.0, 5.0, 2.0])
    low, high = stats.t.interval(0.95, 2, loc=means.mean(), scale=stats.sem(means))
    assert found == pytest.approx({"value": 3.0, "low": low, "high": high})


def test_one_world_has_no_interval(boiled):
    rows = [SimpleNamespace(world="a", value=value) for value in (1.0, 2.0)]
    found = boiled.over_worlds(SimpleNamespace(references={"a": None}), rows, lambda row, _: row.value)
    assert found == {"value": 1.5, "low": None, "high": None}


def between(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high}


def attack(low, high):
    return {"attack": "a", "recovered": between(low, high), "median_rank": 900.0}


def line(**changed):
    kept = between(0.92, 0.96)
    return {
        "budget": 10,
        "leak_gone": between(0.991, 0.993),
        "like_clean": "clear",
        "gap_closed": kept,
        "kept": {"InterIdSim": kept, "IntraIdSim": kept},
        "retrieval": {"InterIdRet": kept, "IntraIdRet": kept},
        "visual": {"VisIdInt": between(0.99, 1.0)},
        "knowledge": between(-0.005, 0.01),
        "figures": {"RetFail_MRR": between(0.001, 0.002), "ACS": between(0.6, 0.64)},
        "attacks": [attack(0.0, 0.01)],
    } | changed


def reached(page, beside=None, **changed):
    return dict(
        (goal, yes) for goal, _, yes in page.goals(line(**changed), beside or line(attacks=[attack(0.1, 0.15)]))
    )


def test_a_goal_is_reached_where_the_whole_interval_is(page):
    assert set(reached(page).values()) == {"yes"}
    leak = "at least 99% of the leak gone"
    assert reached(page, leak_gone=between(0.985, 0.995))[leak] == "open"
    assert reached(page, leak_gone=between(0.97, 0.98))[leak] == "no"
    assert reached(page, like_clean="open")["RetFail as Clean's, by two one-sided tests at 5%"] == "open"
    assert reached(page, visual={"VisIdInt": between(1.03, 1.04)})["`VisIdInt` within 2% of Compromised's"] == "no"
    assert reached(page, gap_closed=between(1.2, 1.3))["85% to 115% of the gap of AssocStr closed"] == "no"
    figures = {"RetFail_MRR": between(0.001, 0.002), "ACS": between(0.64, 0.66)}
    assert reached(page, figures=figures)["`ACS` no more than .65"] == "open"


def test_more_brought_back_than_of_the_other_method_is_told(page):
    goal = "no more back by `a` than of `cliperase`"
    assert reached(page, attacks=[attack(0.2, 0.3)])[goal] == "no"
    # Intervals that overlap show neither.
    assert reached(page, attacks=[attack(0.05, 0.12)])[goal] == "open"
    assert reached(page, attacks=[attack(0.14, 0.3)])[goal] == "open"


def test_what_was_not_measured_of_both_is_no_goal(page):
    assert not [goal for goal in reached(page, attacks=[attack(0, 1) | {"recovered": None}]) if "back by" in goal]


def test_of_an_ablation_only_what_differs_is_named(page):
    labels = ["a=1 b=x", "a=2 b=x", "a=1 b=y", "a=1 b=x c=3"]
    part = {"lines": [{"label": f"counterfactual {label}"} for label in labels]}
    assert list(page._changed(part).values()) == ["as it is", "`a=2`", "`b=y`", "`c=3`"]
    assert page._changed(None) == {}


def test_of_ten_requests_some_are_shown_a_method_after_the_other(page):
    numbers = [f"request {n} of 10" for n in range(1, 11)]
    lines = [
        {"method": method, "label": f"{method}, {what}"}
        for what in ["all 10 requests", *numbers]
        for method in ("cliperase", "counterfactual")
    ]
    shown = [line["label"] for line in page._some_requests({"lines": lines})["lines"]]
    kept = ["request 1 of 10", "request 2 of 10", "request 5 of 10", "request 10 of 10", "all 10 requests"]
    assert shown == [f"{method}, {what}" for method in ("counterfactual", "cliperase") for what in kept]
