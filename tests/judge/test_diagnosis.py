"""The rules, held against the published table, and on both sides of every bar."""

import json
from pathlib import Path

import pytest

from salmu_core.judge.diagnosis import (
    CATASTROPHIC,
    INEFFECTIVE,
    OVER_GENERALISED,
    Evidence,
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
    return diagnose(Evidence(reduction, 0.99, None, around(values["GenKnow"] / COMPROMISED["GenKnow"] - 1), kept))


GONE, SAME = around(0.995), around(0.0)


def evidence(reduction=GONE, knowledge=SAME, unlike_clean=CLEAR, bar=0.99, **kept):
    retention = {"InterIdSim": around(0.95), "IntraIdSim": around(0.95), **kept}
    return Evidence(reduction, bar, unlike_clean, knowledge, retention)


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


@pytest.mark.parametrize(
    ("missing", "mode"),
    [("reduction", "ineffective"), ("knowledge", "catastrophic"), ("IntraIdSim", "over-generalised")],
)
def test_a_missing_figure_leaves_its_mode_unjudged_and_the_others_judged(missing, mode):
    whole = evidence()
    kept = {name: value for name, value in whole.retention.items() if name != missing}
    diagnosis = diagnose(
        Evidence(
            None if missing == "reduction" else whole.reduction,
            0.99,
            None,
            None if missing == "knowledge" else whole.knowledge,
            kept,
        )
    )
    assert diagnosis.not_measured == [mode] and mode not in diagnosis.verdicts
    assert set(diagnosis.modes(CLEAR)) == {"ineffective", "catastrophic", "over-generalised"} - {mode}
    assert not diagnose(Evidence(None, 0.99, None, None, {})).judged


def test_nothing_is_said_of_holdouts_that_are_not_judged():
    whole = evidence()
    diagnosis = diagnose(Evidence(whole.reduction, 0.99, None, None, {"InterIdSim": around(-0.3, 0.1)}))
    assert not diagnosis.worse_than_never_seen and diagnosis.modes(HOLDS) == []


def test_where_there_is_nothing_to_forget_nobody_has_forgotten_it():
    whole = evidence()
    diagnosis = diagnose(Evidence(whole.reduction, 0.0, None, whole.knowledge, whole.retention, leaks=False))
    assert diagnosis.not_measured == ["ineffective"]


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(around(0.0, 0.05), CLEAR), (around(0.2, 0.05), HOLDS), (around(-0.2, 0.05), HOLDS), (around(0.1, 0.05), OPEN)],
)
def test_equivalence_is_two_sided(difference, expected):
    """Forgetting more than never having seen is no better than leaking."""
    assert unlike(difference, difference, 0.1) is expected
