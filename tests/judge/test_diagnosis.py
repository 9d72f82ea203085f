"""The rules, held against the published table, and on both sides of every bar."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from salmu_core.judge.diagnosis import (
    CATASTROPHIC,
    INEFFECTIVE,
    OVER_GENERALISED,
    Evidence,
    Leak,
    Verdict,
    diagnose,
    unlike,
)
from salmu_core.judge.statistics import Interval

PUBLISHED = json.loads((Path(__file__).parents[1] / "data" / "published.json").read_text())
CLEAN, COMPROMISED = PUBLISHED["metrics"]["clean"], PUBLISHED["metrics"]["compromised"]
TABLE = PUBLISHED["paper_table_budget_5"]
HOLDS, OPEN, CLEAR = Verdict.HOLDS, Verdict.OPEN, Verdict.CLEAR


def around(value, half=0.0):
    return Interval(value, value - half, value + half)


def published(values):
    """What the paper's points say, taken for certain."""
    kept = {
        name: around((values[name] - CLEAN[name]) / (COMPROMISED[name] - CLEAN[name]))
        for name in ("InterIdSim", "IntraIdSim")
    }
    reduction = around(1 - values["RetFail_MRR"] / COMPROMISED["RetFail_MRR"])
    change = around(values["GenKnow"] / COMPROMISED["GenKnow"] - 1)
    return diagnose(Evidence({"RetFail_MRR": Leak(reduction)}, {"GenKnow": change}, kept))


GONE, SAME = around(0.995), around(0.0)


def evidence(reduction=GONE, knowledge=SAME, unlike_clean=CLEAR, bar=0.99, **kept):
    retention = {"InterIdSim": around(0.95), "IntraIdSim": around(0.95), **kept}
    return Evidence({"RetFail_MRR": Leak(reduction, bar, unlike_clean)}, {"GenKnow": knowledge}, retention)


@pytest.mark.parametrize("mode", ["catastrophic", "over-generalised"])
def test_the_papers_verdicts_follow_from_its_table(mode):
    for method in PUBLISHED["failure_modes"][mode]:
        assert published(TABLE[method]).verdicts[mode] is HOLDS, method


@pytest.mark.parametrize("method", ["CLIPErase", "DELETE", "VLUnlearn", "Finetuning"])
def test_methods_that_keep_general_knowledge_are_not_catastrophic(method):
    assert published(TABLE[method]).verdicts["catastrophic"] is CLEAR


def test_the_references_judged_by_themselves():
    assert published(COMPROMISED).modes(HOLDS) == [INEFFECTIVE]
    assert published(CLEAN).modes(HOLDS) == [OVER_GENERALISED]
    assert published({**COMPROMISED, "RetFail_MRR": CLEAN["RetFail_MRR"]}).modes(CLEAR) == [
        INEFFECTIVE,
        CATASTROPHIC,
        OVER_GENERALISED,
    ]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (evidence(), (CLEAR, CLEAR, CLEAR)),
        (evidence(reduction=around(0.98, 0.005)), (HOLDS, CLEAR, CLEAR)),
        (evidence(reduction=around(0.98, 0.02)), (OPEN, CLEAR, CLEAR)),
        (evidence(reduction=around(0.98, 0.005), bar=0.97), (CLEAR, CLEAR, CLEAR)),
        (evidence(unlike_clean=OPEN), (OPEN, CLEAR, CLEAR)),
        (evidence(unlike_clean=HOLDS), (HOLDS, CLEAR, CLEAR)),
        (evidence(unlike_clean=None), (CLEAR, CLEAR, CLEAR)),
        (evidence(knowledge=around(-0.02, 0.005)), (CLEAR, HOLDS, CLEAR)),
        (evidence(knowledge=around(-0.02, 0.02)), (CLEAR, OPEN, CLEAR)),
        (evidence(knowledge=around(0.05, 0.001)), (CLEAR, CLEAR, CLEAR)),
        (evidence(IntraIdSim=around(0.5, 0.1)), (CLEAR, CLEAR, HOLDS)),
        (evidence(IntraIdSim=around(0.85, 0.1)), (CLEAR, CLEAR, OPEN)),
        (evidence(InterIdRet=around(0.3, 0.1)), (CLEAR, CLEAR, HOLDS)),
    ],
)
def test_a_mode_holds_is_open_or_clear_by_its_interval(case, expected):
    assert tuple(diagnose(case).verdicts.values()) == expected


def test_several_may_hold_and_below_zero_is_said():
    diagnosis = diagnose(evidence(around(0.5), around(-0.5), InterIdSim=around(-0.2, 0.1)))
    assert diagnosis.modes(HOLDS) == [INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED] and diagnosis.worse_than_never_seen
    assert not diagnose(evidence(InterIdSim=around(-0.05, 0.1))).worse_than_never_seen


def test_enough_is_gone_and_the_rest_is_unlike_clean():
    assert diagnose(evidence(unlike_clean=HOLDS)).only_unlike_clean
    assert not diagnose(evidence(reduction=around(0.9), unlike_clean=HOLDS)).only_unlike_clean
    assert not diagnose(evidence()).only_unlike_clean


def test_every_figure_of_a_role_must_be_clear_and_any_of_them_shows_a_mode():
    def judged(leak, change):
        leaks = {"RetFail_MRR": Leak(GONE, 0.99, CLEAR), "Made-up": leak}
        diagnosis = diagnose(Evidence(leaks, {"GenKnow": SAME, "Other": change}, evidence().retention))
        return diagnosis.verdicts[INEFFECTIVE], diagnosis.verdicts[CATASTROPHIC]

    assert judged(Leak(around(0.995)), around(0.01)) == (CLEAR, CLEAR)
    assert judged(Leak(around(0.9)), around(-0.1)) == (HOLDS, HOLDS)
    assert judged(Leak(around(0.98, 0.02)), around(-0.02, 0.02)) == (OPEN, OPEN)
    assert judged(Leak(GONE, unlike_clean=HOLDS), SAME) == (HOLDS, CLEAR)
    assert judged(Leak(around(0.0), known=False), SAME) == (CLEAR, CLEAR)  # in Compromised there is nothing of it


def test_what_is_told_of_several_is_the_one_that_stays_furthest_below_its_bar():
    leaks = {"a": Leak(around(0.95), 0.96), "b": Leak(around(0.97), 0.99), "c": Leak(around(0.1), known=False)}
    several = Evidence(leaks, {"x": around(0.1), "y": around(-0.1)})
    assert several.leak is leaks["b"] and (several.reduction, several.bar) == (around(0.97), 0.99)
    assert several.knowledge == around(-0.1)
    assert Evidence().reduction is None and Evidence().knowledge is None and Evidence().unlike_clean is None


@pytest.mark.parametrize("mode", [INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED])
def test_a_missing_figure_leaves_its_mode_unjudged_and_the_others_judged(mode):
    diagnosis = diagnose(replace(evidence(), lacking=frozenset({mode})))
    assert diagnosis.not_measured == [mode] and mode not in diagnosis.verdicts
    assert set(diagnosis.modes(CLEAR)) == {INEFFECTIVE, CATASTROPHIC, OVER_GENERALISED} - {mode}
    assert not diagnose(Evidence()).judged


def test_nothing_is_said_of_holdouts_that_are_not_judged():
    below = replace(evidence(InterIdSim=around(-0.3, 0.1)), lacking=frozenset({OVER_GENERALISED}))
    diagnosis = diagnose(below)
    assert not diagnosis.worse_than_never_seen and diagnosis.modes(HOLDS) == []


def test_where_there_is_nothing_to_forget_nobody_has_forgotten_it():
    diagnosis = diagnose(replace(evidence(), leaks={"RetFail_MRR": Leak(GONE, 0.0, known=False)}))
    assert diagnosis.not_measured == [INEFFECTIVE]


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(around(0.0, 0.05), CLEAR), (around(0.2, 0.05), HOLDS), (around(-0.2, 0.05), HOLDS), (around(0.1, 0.05), OPEN)],
)
def test_equivalence_is_two_sided(difference, expected):
    """Forgetting more than never having seen is no better than leaking."""
    assert unlike(difference, difference, 0.1) is expected
