"""What pictures, curves and drawings show, and that what is no picture is none."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from contents import report_of, rows_of
from PIL import Image
from salmu_report import charts, series
from salmu_report.drawings import histograms
from salmu_report.histograms import count, panel
from salmu_report.people import thumbnail
from salmu_report.pictures import draw, figures, file_name

from salmu_core.judge.results import Row


def test_counts_are_those_of_numpy_and_nothing_gets_lost():
    rng = np.random.default_rng(0)
    models = {"compromised": [rng.normal(0.6, 0.05, 500)], "clean": [rng.normal(0, 0.1, 300)]}
    models["0"] = [rng.normal(0.2, 0.2, 400), rng.normal(0.3, 0.01, 50)]
    made = panel("forget", {name: [count(run) for run in runs] for name, runs in models.items()})
    edges = made.start + made.width * np.arange(len(made.shares["clean"]) + 1)
    for name, runs in models.items():
        assert sum(made.shares[name]) == pytest.approx(100, abs=0.1)
        expected = np.mean([np.histogram(run, edges)[0] / len(run) for run in runs], axis=0)
        # A cosine on an edge may fall on either side of it.
        np.testing.assert_allclose(made.shares[name], 100 * expected, atol=0.5)
    assert len(made.shares["clean"]) <= 64


def test_cosines_at_the_very_ends_are_counted():
    assert count(np.array([-1.0, 1.0, 1.0 + 1e-7])).sum() == 3


def test_a_split_that_nothing_was_measured_on_has_no_picture():
    assert panel("forget", {"compromised": [], "clean": []}) is None


def test_histograms_are_of_the_line_and_of_the_worlds_they_are_said_to_be_of(worlds):
    report = report_of(worlds, {})
    made = histograms(report)
    for panel_ in made["panels"]:
        column = {"forget": "AssocStr", "holdout_association": "IntraIdSim", "holdout_identity": "InterIdSim"}
        if panel_["split"] not in column:
            continue
        metric = column[panel_["split"]]
        edges = panel_["start"] + panel_["width"] * np.arange(len(panel_["shares"]["clean"]) + 1)

        def share(folders, metric=metric, edges=edges):
            values = [list(rows_of(folder, metric, metric).values()) for folder in folders]
            return 100 * np.mean([np.histogram(each, edges)[0] / len(each) for each in values], axis=0)

        for number, line in enumerate(worlds.comparison.lines):
            np.testing.assert_allclose(
                panel_["shares"][str(number)], share([row.folder for row in line.rows]), atol=0.6
            )
            for role in ("clean", "compromised"):
                key = f"{number}:{role}" if line.method == "direct-similarity" else role
                mine = ["ground@1"] if line.method == "direct-similarity" else ["ground", "ground@1"]
                expected = share([worlds.store.reference(world, role) for world in mine])
                np.testing.assert_allclose(panel_["shares"][key], expected, atol=0.6)
                assert np.abs(expected - panel_["shares"][str(number)]).max() > 3 or role == "compromised"


def test_hostile_pictures_are_no_pictures_and_cameras_may_lie_on_their_side(recwarn):
    def encoded(image, form="PNG", **more):
        out = io.BytesIO()
        image.save(out, form, **more)
        return out.getvalue()

    grey = encoded(Image.new("L", (8, 8)))
    for hostile in (encoded(Image.new("1", (13000, 13000))), encoded(Image.new("F", (8, 8)), "TIFF"), grey[:45], None):
        assert thumbnail(hostile, 16) is None and not recwarn.list
    turned = Image.new("RGB", (40, 20), "white")
    turned.paste("red", (0, 0, 20, 20))
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was turned: what is left belongs on top
    made = thumbnail(encoded(turned, "JPEG", exif=exif, quality=95), 40)
    seen = Image.open(io.BytesIO(base64.b64decode(made.partition(",")[2]))).convert("RGB")
    assert seen.size == (20, 40)
    assert seen.getpixel((10, 5))[1] < 90 and seen.getpixel((10, 35))[1] > 200
    assert thumbnail(encoded(Image.new("CMYK", (8, 8)), "JPEG"), 16) is not None


def test_pictures_for_print_are_whole_whatever_is_in_a_name(found, people):
    report = report_of(found, {"ground": people})
    made = dict(figures(report))
    kinds = {name.partition("-")[0] for name in made}
    assert kinds == {"tradeoff", "cost", "cosines", "attributes", "training"}
    assert sum(name.startswith("cosines-") for name in made) == len(found.comparison.lines)
    spec = made["cost"]
    spec["title"]["text"] = "bell \x07, <b>&amp;, \ud800, \ufffe, caf\u00e9"
    drawn = ElementTree.fromstring(draw(spec, "svg"))
    texts = "".join(drawn.itertext())
    assert r"bell \x07, <b>&amp;, \ud800, \ufffe, café" in texts and "seconds a run" in texts
    png = Image.open(io.BytesIO(draw(spec, "png")))
    assert png.width > 1000
    assert file_name("cosines-a/../b\n<c>, b 5") == "cosines-a-..-b-c-b-5"


def test_portraits_are_encoded_anew(people):
    image = next(iter(people.by_id.values())).associations[0]
    made = people.portrait(image, 16)
    assert made.startswith("data:image/webp;base64,") and len(made) < 3000
    assert thumbnail(b"\x89PNG\r\n\x1a\nno picture at all", 16) is None


def test_curves_keep_their_ends_and_no_more_points_than_can_be_seen(found):
    row = next(row for row in found.results.rows if row.method == "vlunlearn" and row.status == "valid")
    for name, points in series.curves(row).items():
        full = row.record.scalars[name]
        assert len(points) <= series.POINTS + 1
        assert points[0][0] == full[0][0] and points[-1][0] == full[-1][0]
        assert points[-1][1] == pytest.approx(full[-1][1], rel=1e-4)


def test_a_run_that_logged_nothing_finite_has_no_curve(found):
    row = next(row for row in found.results.rows if row.record and row.record.scalars)
    scalars = {"loss": [(0, float("nan")), (1, float("inf"))], "one": [(0, 1.0)]}
    record = row.record.model_copy(update={"scalars": scalars})
    assert series.curves(Row(row.folder, row.world, row.method, record, "valid")) == {}


def test_histogram_rows_close_the_last_bin():
    rows = charts.bins({"start": 0.0, "width": 0.5, "shares": {"clean": [40.0, 60.0], "0": [100.0, 0.0]}}, "0")
    assert [(r["model"], r["share"], r["start"], r["end"]) for r in rows[:3]] == [
        ("clean", 40.0, 0.0, 0.5),
        ("clean", 60.0, 0.5, 1.0),
        ("clean", 0.0, 1.0, 1.5),
    ]
    assert {r["model"] for r in rows} == {"clean", "unlearned"}
