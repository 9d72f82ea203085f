"""The rules, held against the published table."""

import json
from pathlib import Path

import pytest

from salmu_core.diagnosis import diagnose

PUBLISHED = json.loads((Path(__file__).parent / "data" / "published.json").read_text())
CLEAN, COMPROMISED = PUBLISHED["metrics"]["clean"], PUBLISHED["metrics"]["compromised"]
TABLE = PUBLISHED["paper_table_budget_5"]


@pytest.mark.parametrize("mode", ["catastrophic", "over-generalised"])
def test_the_papers_verdicts_follow_from_its_table(mode):
    for method in PUBLISHED["failure_modes"][mode]:
        assert mode in diagnose(TABLE[method], CLEAN, COMPROMISED).failure_modes, method


@pytest.mark.parametrize("method", ["CLIPErase", "DELETE", "VLUnlearn", "Finetuning"])
def test_methods_that_keep_general_knowledge_are_not_catastrophic(method):
    assert "catastrophic" not in diagnose(TABLE[method], CLEAN, COMPROMISED).failure_modes


def test_the_derived_figures():
    found = diagnose(TABLE["VLUnlearn"], CLEAN, COMPROMISED)
    assert found.leakage_reduction == pytest.approx(1 - 0.001 / 0.236102)
    assert found.holdout_retention["InterIdSim"] == pytest.approx((0.210 - 0.142796) / (0.321488 - 0.142796))
    assert diagnose(TABLE["DELETE"], CLEAN, COMPROMISED).holdout_retention["IntraIdSim"] < 0


def test_the_references_judged_by_themselves():
    assert diagnose(COMPROMISED, CLEAN, COMPROMISED).failure_modes == ("ineffective",)
    assert diagnose(CLEAN, CLEAN, COMPROMISED).failure_modes == ("over-generalised",)
    ideal = {**COMPROMISED, "RetFail_MRR": CLEAN["RetFail_MRR"]}
    assert diagnose(ideal, CLEAN, COMPROMISED).failure_mode == "none"


def test_no_more_leak_than_clean_is_never_ineffective():
    clean = {**CLEAN, "RetFail_MRR": 0.004}
    small = {**COMPROMISED, "RetFail_MRR": 0.3}  # Clean itself reaches 98.7% only
    assert "ineffective" not in diagnose({**small, "RetFail_MRR": 0.004}, clean, small).failure_modes
    assert "ineffective" in diagnose({**small, "RetFail_MRR": 0.005}, clean, small).failure_modes


def test_a_missing_figure_is_no_verdict():
    found = diagnose({k: v for k, v in COMPROMISED.items() if k != "GenKnow"}, CLEAN, COMPROMISED)
    assert found.failure_modes is None and found.failure_mode is None and found.leakage_reduction == 0
