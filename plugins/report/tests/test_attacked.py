"""What a page says of attacks: the shares and stages of each line, as their rows have them, and nothing that runs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from grounds import HOSTILE
from salmu_report import charts, series
from salmu_report.filters import FILTERS
from salmu_report.html import pages
from salmu_report.pictures import draw
from salmu_report.render import finding

from salmu_core.judge.compare import compare

shared = pytest.importorskip("attacked_models", reason="it lies beside the core's tests")
Models, X, attacked = shared.Models, shared.X, shared.attacked


@pytest.fixture(scope="module")
def models():
    return Models(back=0.5)


@pytest.fixture(scope="module")
def comparison(models):
    """One line, attacked by stages of which the first has a name that must not run."""
    early = {key: (before, before + 0.01) for key, (before, _) in models.rows.items()}
    by_label = {HOSTILE: early, "late": models.rows}
    stages = [
        {"label": label, "curve": HOSTILE, "step": 10.0 * (n + 1), "values": {}} for n, label in enumerate(by_label)
    ]
    change = {}
    for key, rows in models.rows.items():
        it = attacked(*rows)
        parts = {label: attacked(*each[key]) for label, each in by_label.items()}
        record = it.record.model_copy(update={"details": {"stages": stages, "worst": "late"}})
        change[key] = replace(it, record=record, queries=parts)
    _, results = models.results(change)
    return compare(results, [])


def test_the_panel_has_each_share_with_its_interval_and_each_stage_of_three_models(models, comparison):
    (drawn,) = series.attacked(comparison)
    ((share,), (curve,)) = drawn["shares"], drawn["curves"]
    assert share["attack"] == f"relearn ({X}): recoverable" and drawn["label"] == "one, b 5"
    assert share["recovered"] == pytest.approx(models.share(0, 0), rel=1e-4)
    assert share["before"] == pytest.approx(models.share(0, 0, 0), rel=1e-4) and share["bar"] == 0.01
    assert share["recovered_low"] < share["recovered"] < share["recovered_high"]
    values = {(point["model"], point["step"]): point["value"] for point in curve["points"]}
    for model, who in (("unlearned", 0), ("clean", "clean"), ("compromised", "compromised")):
        before, after = models.rows[0, who]
        assert values[model, 10] == pytest.approx(np.mean(before) + 0.01, rel=1e-4)
        assert values[model, 20] == pytest.approx(np.mean(after), rel=1e-4)
    assert len(values) == 6 and curve["figure"] == X
    (way,) = comparison.lines[0].recoveries[0].curves
    told = f"back on the way: {way['mean'].value:.0%} ±"
    assert curve["told"].startswith(told) and curve["told"].endswith("; never half") and way["half"] is None
    soon = series._on_the_way({**way, "half": 12.345})
    assert soon.endswith("; half after 12.3")


def test_both_pictures_can_be_drawn(comparison):
    (drawn,) = series.attacked(comparison)
    shares = {**charts.recovered(), "datasets": {"shares": drawn["shares"]}, "width": 300}
    stages = {**charts.stages(X), "datasets": {"points": drawn["curves"][0]["points"]}, "width": 300}
    assert b"recoverable" in draw(shares, "svg") and X.encode() in draw(stages, "svg")


def test_the_table_says_what_the_attacker_holds_and_what_it_shows_and_escapes_it(comparison):
    (line,) = comparison.lines
    (it,) = line.recoveries
    others = [replace(it, label=HOSTILE, given=("original",), verdict=None), replace(it, label="weak", verdict=None)]
    view = SimpleNamespace(seed="all", comparison=SimpleNamespace(lines=[replace(line, recoveries=(it, *others))]))
    environment = pages("salmu_report")
    environment.filters |= FILTERS
    page = environment.get_template("attacks.html.jinja").render(
        report=SimpleNamespace(views=[view]), verdict_of=series.verdict_of
    )
    cells = [row.split("<td")[-2:] for row in page.split("<tr ")[1:]]
    said = [tuple(cell.partition(">")[2].partition("<")[0] for cell in row) for row in cells]
    assert said == [
        ("leaked pairs", "recoverable"),
        ("the original&#39;s weights", "a diagnosis"),
        ("leaked pairs", "shows nothing"),
    ]
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_finding_counts_who_was_attacked_apart(comparison):
    assert finding(comparison.lines).endswith("Recoverable: 1 of 1 that were attacked.")
