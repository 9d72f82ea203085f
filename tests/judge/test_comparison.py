"""From runs to lines: what is averaged, paired, adjusted and judged."""

import json
from pathlib import Path

import numpy as np
import pytest
from entries import shown
from scipy import stats
from studies import Maker

from salmu_core.judge.compare import compare, labels
from salmu_core.judge.diagnosis import INEFFECTIVE, Verdict
from salmu_core.judge.repeats import noise
from salmu_core.judge.statistics import holm

REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "published.json").read_text())["metrics"]
CLEAN, COMPROMISED = REFERENCES["clean"], REFERENCES["compromised"]
SHOWN = shown()
LEAK = "RetFail_MRR"
MAKE = Maker(REFERENCES)
IDEAL = {**COMPROMISED, **{c.name: CLEAN[c.name] for c in SHOWN if c.target == "clean" and c.name in CLEAN}}


def test_lines_are_means_over_worlds_of_means_over_seeds():
    rows = [MAKE.row("one", IDEAL, w, s, spread=0.1) for w in range(3) for s in range(2)]
    (line,) = compare(MAKE.results(rows, 3, 0.05), SHOWN).lines
    values = np.array([row.metrics["AssocStr"] for row in rows]).reshape(3, 2).mean(axis=1)
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    mean = line.figures["AssocStr"].value
    assert (mean.value, mean.low, mean.high) == pytest.approx((values.mean(), low, high))
    assert line.worlds == 3 and len(line.rows) == 6


def test_budgets_and_settings_are_lines_of_their_own():
    rows = [
        MAKE.row("one", IDEAL),
        MAKE.row("one", IDEAL, budget=1.0),
        MAKE.row("one", IDEAL, config={"lr": 0.1}),
        MAKE.row("one", IDEAL, config={"lr": 0.2}),
    ]
    lines = compare(MAKE.results(rows), SHOWN).lines
    assert [line.budget for line in lines] == [1.0, 5.0, 5.0, 5.0]
    assert {line.label for line in lines} == {"one", "one lr=0.1", "one lr=0.2"}


def test_labels_name_only_what_differs():
    rows = [MAKE.row("sweep", IDEAL, config={"lr": 0.1, "k": k}) for k in (32, 48)]
    assert sorted(labels(rows).values()) == ["sweep k=32", "sweep k=48"]
    assert list(labels(rows[1:]).values()) == ["sweep"]


def test_labels_of_wrappers_name_the_settings_of_a_loss_that_is_there_twice():
    def over(loss, **settings):
        return MAKE.row("mask", IDEAL, config={"loss": loss, "settings": settings, "share": 0.5})

    rows = [over("one", lr=1e-3, margin=2), over("one", lr=1e-4, margin=2), over("two", lr=1e-3, scale=7)]
    told = ["mask loss=one settings.lr=0.0001", "mask loss=one settings.lr=0.001", "mask loss=two"]
    assert sorted(labels(rows).values()) == told


def test_differences_from_the_target_are_paired_by_row():
    (line,) = compare(MAKE.results([MAKE.row("one", {**IDEAL, "InterIdSim": 0.31})]), SHOWN).lines
    figure = line.figures["InterIdSim"]
    own = figure.value.high - figure.value.low
    assert figure.difference.value == pytest.approx(0.31 - COMPROMISED["InterIdSim"])
    assert figure.difference.high - figure.difference.low < 0.6 * own
    assert figure.missed and not line.figures["VisIdInt"].missed


def test_p_values_are_adjusted_over_a_pillar_of_all_lines():
    rows = [MAKE.row(name, {**IDEAL, "GenKnow": 0.637}) for name in ("one", "two")]
    lines = compare(MAKE.results(rows), SHOWN).lines
    utility = [c.name for c in SHOWN if c.pillar == "utility" and c.name in IDEAL]
    raw = {(line.label, name): line.figures[name].gap.p_value() for line in lines for name in utility}
    expected = holm(raw)
    assert {(line.label, name): line.figures[name].p for line in lines for name in utility} == pytest.approx(expected)


def test_equivalence_needs_worlds_and_fails_on_both_sides():
    def line(value, worlds=4):
        rows = [MAKE.row("one", {**IDEAL, "AssocStr": value}, w, spread=0.005) for w in range(worlds)]
        return compare(MAKE.results(rows, worlds, 0.05), SHOWN).lines[0].figures["AssocStr"]

    assert line(CLEAN["AssocStr"], worlds=1).equivalent is None
    near = line(CLEAN["AssocStr"])
    assert near.equivalent and not near.missed
    results = MAKE.results([], 4, 0.05)
    cleans = [results.references[world]["clean"].metrics["AssocStr"] for world in results.worlds]
    assert near.margin == pytest.approx(noise(cleans))
    for far in (CLEAN["AssocStr"] + 4 * near.margin, CLEAN["AssocStr"] - 4 * near.margin):
        assert line(far).equivalent is False


def test_the_bar_is_no_higher_than_clean_or_guessing_reach():
    def verdict(mrr, **more):
        maker = Maker({"clean": {**CLEAN, LEAK: 0.001}, "compromised": {**COMPROMISED, LEAK: 0.3}}, **more)
        (line,) = compare(maker.results([maker.row("one", {**IDEAL, LEAK: mrr})]), SHOWN).lines
        return line.diagnosis.evidence.bar, line.diagnosis.verdicts[INEFFECTIVE]

    assert verdict(0.0039) == (0.99, Verdict.HOLDS)
    bar, judged = verdict(0.0039, chance={LEAK: 0.0041})
    assert bar == pytest.approx(1 - 0.0041 / 0.3) and judged is Verdict.CLEAR


def test_more_failures_come_later_and_places_are_given_within_a_budget():
    rows = [
        MAKE.row("leaky", {**IDEAL, LEAK: 0.1}),
        MAKE.row("ideal", IDEAL),
        MAKE.row("wreck", {**IDEAL, LEAK: 0.1, "GenKnow": 0.1, "InterIdSim": 0.0}),
        MAKE.row("cheap", {**IDEAL, LEAK: 0.2}, budget=1.0),
    ]
    lines = compare(MAKE.results(rows), SHOWN).lines
    assert [line.method for line in lines] == ["cheap", "ideal", "leaky", "wreck"]
    cheap, ideal, leaky, wreck = (line.places for line in lines)
    assert cheap["leak"] == ideal["leak"] == (1, 1) and leaky["leak"] == wreck["leak"] == (2, 3)
    assert wreck["knowledge"] == wreck["holdouts"] == (3, 3)


def test_a_line_with_one_world_of_several_shows_nothing_and_takes_nothing_from_the_others():
    rows = [MAKE.row(name, {**IDEAL, LEAK: mrr}, w) for name, mrr in (("one", 0.0008), ("two", 0.1)) for w in range(3)]
    few = MAKE.row("few", {**IDEAL, LEAK: 0.05, "InterIdSim": 0.1})
    results = MAKE.results([*rows, few], 3)
    lines = {line.method: line for line in compare(results, SHOWN).lines}
    assert not lines["few"].figures["InterIdSim"].missed and lines["few"].figures["AssocStr"].equivalent is None
    assert lines["one"].places["leak"][1] < lines["two"].places["leak"][1]
    assert any("few at 5" in note for note in compare(results, SHOWN).notes)


def test_two_worlds_have_no_margin():
    comparison = compare(MAKE.results([MAKE.row("one", IDEAL, w) for w in range(2)], 2, 0.05), SHOWN)
    assert comparison.lines[0].figures["AssocStr"].equivalent is None and "Two worlds" in comparison.notes[0]


def test_holdouts_that_compromised_does_not_know_can_not_be_lost():
    """Else a denominator of nearly nothing, or below it, would turn the verdict round."""
    for known in (CLEAN["InterIdSim"] - 0.02, CLEAN["InterIdSim"]):
        references = {"clean": CLEAN, "compromised": {**COMPROMISED, "InterIdSim": known}}
        maker = Maker(references)
        (line,) = compare(maker.results([maker.row("one", {**IDEAL, "InterIdSim": 0.3})]), SHOWN).lines
        assert "InterIdSim" not in line.diagnosis.evidence.retention
        assert line.diagnosis.not_measured == ["over-generalised"]


def test_what_can_not_be_said_is_said():
    notes = compare(MAKE.results([MAKE.row("one", IDEAL)]), SHOWN).notes
    assert "training seeds" in notes[0] and "equivalence" in notes[0] and "One seed" in notes[1]
    rows = [MAKE.row("one", IDEAL, w, s) for w in range(2) for s in range(2)]
    assert len(compare(MAKE.results(rows, 2), SHOWN).notes) == 1
    rows = [MAKE.row("one", IDEAL, w, s) for w in range(3) for s in range(2)]
    assert compare(MAKE.results(rows, 3), SHOWN).notes == []


def test_a_missing_reference_leaves_values_and_no_verdict():
    maker = Maker({"clean": {}, "compromised": {}})
    (line,) = compare(maker.results([maker.row("one", IDEAL)]), SHOWN).lines
    assert not line.diagnosis.judged and line.places == {}
    assert line.figures["GenKnow"].difference is None and line.figures["GenKnow"].missed is None


def test_json_is_plain_and_the_same_twice():
    rows = [MAKE.row("one", IDEAL, w, s, tails={"people@1": 0.25}) for w in range(2) for s in range(2)]
    first, again = (json.dumps(compare(MAKE.results(rows, 2), SHOWN).as_json(), allow_nan=False) for _ in range(2))
    assert first == again
    content = json.loads(first)
    assert content["worlds"] == ["mini", "mini@1"] and len(content["runs"]) == 4
    (line,) = content["lines"]
    assert line["runs"] == [["mini", 0], ["mini", 1], ["mini@1", 0], ["mini@1", 1]]
    assert set(line["failure_modes"]) == {"ineffective", "catastrophic", "over-generalised"}
    assert line["tails"]["people@1"]["value"] == 0.25
    one = compare(MAKE.results(rows[:1], 1), SHOWN).as_json()["lines"][0]
    assert one["tails"]["people@1"] == {"value": 0.25, "low": None, "high": None}
