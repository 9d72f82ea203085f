"""What is said of attacks on every method follows from the figures of each, and these from the runs."""

from itertools import permutations

import numpy as np
import pytest


@pytest.fixture
def page(imported):
    return imported("docs", "attacks_page")


@pytest.fixture
def boiled(imported):
    return imported("benchmarks/laboratory", "attacks")


def between(value, width=0.02):
    return {"value": value, "low": value - width, "high": value + width}


def attack(recovered, verdict="clear", **more):
    given = {"recovered": between(recovered), "before": between(0.1), "verdict": verdict, "query": "", "stages": []}
    return {**given, "curves": [], **more}


def line(method, attacks, **more):
    given = {"method": method, "leak_gone": between(0.9), "failure_modes": {"recoverable": "holds"}, "attacks": attacks}
    return {**given, "figures": {"ACS": 0.5}, "distance": {"clean": 0.4, "compromised": 0.6}, **more}


def cells(table):
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows[2:]]


def test_the_worst_attack_is_one_that_a_verdict_may_rest_on(page):
    found = {"reload": attack(0.9, None), "relearn": attack(0.3, "holds"), "rounded": attack(0.2)}
    assert page.worst(line("a", found))[0] == "relearn"
    assert page.worst(line("a", {"reload": attack(0.9, None)})) is None


def test_the_curve_that_brings_most_and_the_soonest_half_are_shown(page):
    curves = [
        {"curve": "slow", "steps": 100, "mean": between(0.2), "half": 80.0},
        {"curve": "fast", "steps": 100, "mean": between(0.6), "half": 12.4},
        {"curve": "wild", "steps": 100, "mean": None, "half": None},
    ]
    lines = [line("a", {"relearn": attack(0.5, curves=curves)}), line("b", {"relearn": attack(0.1)}), line("c", {})]
    assert cells(page._curves(lines, ["relearn"])) == [
        ["`a`", "60% [58%, 62%]", "12"],
        ["`b`", "-", "-"],
        ["`c`", "-", "-"],
    ]
    assert page._curves(lines, []) == page.NOT_YET


def test_a_part_that_was_put_back_is_a_column(page):
    stages = [{"label": "text tower", "recovered": 0.25}, {"label": "all", "recovered": 1.0}]
    lines = [line("a", {"reload": attack(1.0, stages=stages)}), line("b", {})]
    assert cells(page._towers(lines)) == [["`a`", "25%", "100%"], ["`b`", "-", "-"]]


def test_of_what_was_gone_the_share_that_is_back(boiled):
    assert boiled.returned(attack(0.55)) == pytest.approx(0.5)
    assert boiled.returned(attack(0.55, before=between(0.6))) is None
    assert boiled.returned(attack(0.55, before=None)) is None


def test_a_sign_is_a_correlation_over_methods_with_a_permutation_test(boiled):
    brought, signs = [0.1, 0.4, 0.2, 0.8, 0.5, 0.9], [3.0, 2.0, 1.0, 5.0, 4.0, 6.0]
    lines = [
        line(f"m{i}", {"relearn": attack(one, before=between(0.0))}, figures={"ACS": sign})
        for i, (one, sign) in enumerate(zip(brought, signs, strict=True))
    ]
    found = {one["figure"]: one for one in boiled.foretold(lines)}
    assert set(found) == {"ACS"}  # both distances are the same of all
    x, y = np.argsort(np.argsort(signs)), np.argsort(np.argsort(brought))
    assert found["ACS"]["rho"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    every = [np.corrcoef(x[list(order)], y)[0, 1] for order in permutations(range(6))]
    assert found["ACS"]["p"] == pytest.approx(np.mean(np.abs(every) >= abs(found["ACS"]["rho"]) - 1e-9), abs=1e-9)
    assert boiled.foretold(lines[:4]) == []
