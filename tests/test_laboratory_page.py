"""The laboratory says what is missing, and no study that is not at its end becomes a page."""

from types import SimpleNamespace

import pytest


@pytest.fixture
def page(imported):
    return imported("docs", "laboratory_page")


@pytest.fixture
def boiled(imported):
    return imported("benchmarks/laboratory", "study")


@pytest.fixture
def pictures(imported):
    pytest.importorskip("matplotlib", reason="uv run --group docs")
    return imported("docs/_ext", "laboratory_pictures")


def study_of(absent, worlds_at):
    return {"worlds": ["mini", "mini@1"], "absent": absent, "worlds_at": worlds_at}


def test_what_is_missing_is_said_by_budget(page):
    whole = {"1": 2, "5": 2}
    assert page._absent(study_of({"1": [], "5": []}, whole)) == ""
    missing = page._absent(study_of({"1": ["gu", "lora"], "5": ["lora"]}, whole))
    assert missing == "Not among them are `lora`. At a budget of 1 there are no runs of `gu`.\n"
    fewer = page._absent(study_of({"1": [], "5": ["gu"]}, {"1": 2, "5": 1}))
    assert fewer == "At a budget of 5 there are no runs of `gu`, and runs in 1 of these worlds alone.\n"


@pytest.mark.parametrize("runs", [{"a": ("mini", "mini@1", "mini@1")}, {"a": ("mini", "mini")}])
def test_methods_of_a_budget_have_as_many_worlds_and_runs_or_there_is_no_page(boiled, runs):
    def line(label, worlds):
        return SimpleNamespace(label=label, worlds=len(set(worlds)), rows=worlds, budget=20.0)

    lines = [line("b", ("mini", "mini@1")), line("c", ("mini", "mini@1"))]
    assert boiled.worlds_of(lines) == 2
    with pytest.raises(SystemExit, match=r"at budget 20 .*\ba has \d runs in \d worlds") as refused:
        boiled.worlds_of([*lines, *(line(label, worlds) for label, worlds in runs.items())])
    assert "2 runs in 2 worlds" in str(refused.value)


def test_a_method_is_drawn_where_its_lines_say_it_is_at_every_budget(pictures, monkeypatch):
    def line(budget, left, known, kept):
        return {
            "method": "a",
            "budget": budget,
            "leakage_reduction": {"value": 1 - left},
            "knowledge_change": {"value": known},
            "holdout_retention": {"x": {"value": kept + 0.1}, "y": {"value": kept}},
        }

    lines = [line(1, 0.4, -0.02, 0.8), line(5, 0.02, -0.3, -2.0)]
    data = {"budgets": [1, 5, 20], "lines": lines, "tags": {"a": []}}
    monkeypatch.setattr(pictures, "measured", lambda which: data)
    figure = pictures.budgets(pictures.INKS["light"])
    assert figure.axes[2].get_xlim()[0] < -2.0  # however far below Clean it went
    marks = [[mark.get_xdata()[0] for mark in axis.lines if mark.get_marker() == "o"] for axis in figure.axes]
    assert marks == [[pytest.approx(0.4), pytest.approx(0.02)], [-0.02, -0.3], [0.8, -2.0]]
    assert "a: 40.0%, -2.0%, 80%, then 2.0%, -30.0%, -200%, then no run" in pictures.alt("budgets")


@pytest.mark.parametrize(("low", "cell"), [(0.985, "99.0%"), (0.987, "**99.0%**")])
def test_what_is_shown_to_pass_is_bold_on_the_first_page(imported, low, cell):
    def share(value, low):
        return {"value": value, "low": low, "high": 1}

    line = {
        "method": "a",
        "budget": 5.0,
        "leakage_reduction": share(0.99, low),
        "leakage_bar": 0.986,
        "knowledge_change": share(-0.004, -0.02),
        "holdout_retention": {
            "InterIdSim": share(0.99, 0.98),
            "IntraIdSim": share(0.95, 0.91),
            "InterIdRet": share(0.97, 0.89),
            "IntraIdRet": share(0.92, 0.91),
        },
        "failure_modes": {"ineffective": "clear", "catastrophic": "open", "over-generalised": "open"},
        "only_unlike_clean": False,
        "worse_than_never_seen": False,
    }
    study = {"worlds": ["mini"], "lines": [line], "tags": {"a": []}}
    table = imported("docs", "readme_table").first_table(study, ["a"])
    assert f"| `a` | {cell} | -0.4% | **95%** | 92% | catastrophic?, over-generalised? |" in table
