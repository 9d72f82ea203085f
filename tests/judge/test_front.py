"""Who is on the front: by value, unless the data can't tell two lines apart."""

import itertools
import json
from pathlib import Path

import numpy as np
from entries import shown
from studies import Maker

from salmu_core.judge.compare import compare
from salmu_core.judge.front import Front, front

REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "published.json").read_text())["metrics"]
CLEAN, COMPROMISED = REFERENCES["clean"], REFERENCES["compromised"]
SHOWN = shown()
MAKE = Maker(REFERENCES)
IDEAL = {**COMPROMISED, **{c.name: CLEAN[c.name] for c in SHOWN if c.target == "clean" and c.name in CLEAN}}


def test_where_everything_is_shown_it_is_the_pareto_front():
    values = np.random.default_rng(0).integers(0, 6, size=(3, 40)).astype(float)
    better = [{(i, j) for i, j in itertools.permutations(range(40), 2) if aim[i] > aim[j]} for aim in values]
    ideal = [
        not any((values[:, i] >= values[:, j]).all() and (values[:, i] > values[:, j]).any() for i in range(40))
        for j in range(40)
    ]
    assert [place is Front.ON for place in front(values.tolist(), better)] == ideal
    assert Front.TIED not in front(values.tolist(), better) and 0 < sum(ideal) < 40


def test_where_nothing_is_shown_nobody_is_off_it():
    places = front([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]], [set(), set()])
    assert places == [Front.TIED, Front.ON, Front.ON]


def test_one_that_is_worse_on_one_aim_beats_nobody():
    assert front([[9.0, 1.0], [1.0, 2.0]], [{(0, 1)}, set()]) == [Front.ON, Front.ON]


def test_a_table_marks_the_front_of_each_budget():
    worse = {**IDEAL, "GenKnow": 0.5 * COMPROMISED["GenKnow"], "RetFail_MRR": 0.3}
    erased = {**IDEAL, "InterIdSim": CLEAN["InterIdSim"], "RetFail_MRR": 0.5 * CLEAN["RetFail_MRR"]}
    rows = [MAKE.row("best", IDEAL), MAKE.row("worse", worse), MAKE.row("erased", erased)]
    rows.append(MAKE.row("worse", worse, budget=1))
    lines = {(line.label, line.budget): line.fronts for line in compare(MAKE.results(rows), SHOWN).lines}
    assert lines["worse", 5.0]["knowledge"] is Front.OFF
    assert lines["worse", 1.0] == {"knowledge": Front.ON, "holdouts": Front.ON}
    assert lines["best", 5.0]["holdouts"] is Front.ON and lines["erased", 5.0]["holdouts"] is Front.ON
    assert lines["erased", 5.0]["knowledge"] is not Front.OFF


def test_what_is_not_measured_is_no_aim():
    less = {name: value for name, value in IDEAL.items() if name not in ("GenKnow", "InterIdSim", "IntraIdSim")}
    (line,) = compare(MAKE.results([MAKE.row("one", less)]), SHOWN).lines
    assert line.fronts == {}
