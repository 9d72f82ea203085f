"""What a page says, against a few lines of numpy over the very files."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from grounds import HOSTILE_PERSON, KINDS, write_store
from PIL import Image
from salmu_report import charts, series
from salmu_report.album import Album
from salmu_report.attributes import Attributes, by_attribute, cells
from salmu_report.cast import cast
from salmu_report.cli import report
from salmu_report.drawings import histograms
from salmu_report.histograms import count, panel
from salmu_report.pictures import draw, figures, file_name
from salmu_report.render import render
from salmu_report.report import Report, views
from salmu_report.summaries import summarise

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.benchmark.people import Group, read_people, thumbnail
from salmu_core.cli.reading import reading
from salmu_core.contract import layout
from salmu_core.contract.layout import ROLES
from salmu_core.disk.record import seal_of
from salmu_core.errors import BenchmarkError, UnknownNameError
from salmu_core.judge.associations import read_associations
from salmu_core.judge.compare import compare
from salmu_core.judge.results import Row
from salmu_core.judge.statistics import Clusters
from salmu_core.plugins.zoo import discover
from salmu_core.show import words as text


@pytest.fixture(scope="module")
def found(store):
    return store.read()


@pytest.fixture(scope="module")
def people(found):
    return read_people(found.data("ground"))


def rows_of(folder, metric, column):
    """File name -> value, read without the code that is tested."""
    table = pq.read_table(folder / "per_row.parquet").to_pylist()
    return {line["file_name"]: line["value"] for line in table if (line["metric"], line["column"]) == (metric, column)}


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


def test_attributes_are_means_over_the_rows_that_tell_them(found, people):
    store, row = found.store, next(row for row in found.results.rows if row.method == "direct-similarity")
    folders = {"run": row.folder, **{role: store.reference("ground", role) for role in ROLES}}
    fields = json.loads((found.data("ground").data / layout.CAPTIONS_METADATA).read_text())
    splits = {
        "leak": [("RetFail", "rank", lambda value: 1 / value)],
        "kept": [("IntraIdSim", "IntraIdSim", float), ("InterIdSim", "InterIdSim", float)],
    }
    models = {
        name: by_attribute(read_associations(folder, store_metrics(folder)), people.fields)
        for name, folder in folders.items()
    }
    for what, sources in splits.items():
        made = cells(
            {"ground": {0: models["run"]}}, {"ground": models["clean"]}, {"ground": models["compromised"]}, what
        )
        told = {entry["data_field"] for entry in fields.values()}
        assert list(made) == [field for field in layout.DATA_FIELDS if field in told] and len(made) > 2
        for field, cell in made.items():
            means = {}
            for name, folder in folders.items():
                values = {f: change(v) for m, c, change in sources for f, v in rows_of(folder, m, c).items()}
                means[name] = np.mean([v for f, v in values.items() if fields[f]["data_field"] == field])
            assert (cell.before, cell.after, cell.clean) == pytest.approx(
                (means["compromised"], means["run"], means["clean"])
            )
            share = (means["run"] - means["clean"]) / (means["compromised"] - means["clean"])
            assert cell.share is None or cell.share.value == pytest.approx(share)
        assert any(cell.share for cell in made.values())


def store_metrics(folder):
    from salmu_core.store.records import MetricsRecord

    return MetricsRecord.model_validate_json((folder / "metrics.json").read_text())


def test_what_nobody_knew_has_no_share(found, people):
    folder = found.store.reference("ground", "clean")
    clean = by_attribute(read_associations(folder, store_metrics(folder)), people.fields)
    made = cells({"ground": {0: clean}}, {"ground": clean}, {"ground": clean}, "leak")
    assert made and all(cell.share is None for cell in made.values())


def test_everybody_shown_is_of_a_group_and_each_group_has_its_share(found, people):
    rows = [row for row in found.results.rows if row.status == "valid"]
    made = cast(people, 12, [], rows, found.results.references["ground"], found.results.columns)
    groups = [people.by_id[identity].group for identity in made.reasons]
    assert {group: groups.count(group) for group in Group} == dict.fromkeys(Group, 4)
    for identity in made.reasons:
        person, shown = people.by_id[identity], made.portraits[identity]
        assert len({p.file_name for p in shown}) == len(shown) == min(4, len(person.associations))
        if person.group is Group.HALF:
            assert {p.split for p in shown} == {"forget", "holdout_association"}


def test_the_worst_are_shown(found, people):
    rows = [row for row in found.results.rows if row.method == "negative-gradient" and row.status == "valid"][:1]
    made = cast(people, 6, [], rows, found.results.references["ground"], found.results.columns)
    ranks = rows_of(rows[0].folder, "RetFail", "rank")
    leak = {
        identity: np.mean([1 / ranks[a.file_name] for a in person.associations])
        for identity, person in people.by_id.items()
        if person.group is Group.FORGOTTEN
    }
    assert made.reasons[max(leak, key=lambda identity: leak[identity])] == "leaks most in some run"


def test_whoever_is_asked_for_is_there(found, people):
    made = cast(people, 0, ["0", "00000001"], [], found.results.references["ground"], found.results.columns)
    assert list(made.reasons) == ["00000000", "00000001"]


def test_somebody_unknown_is_an_error(found, people):
    with pytest.raises(UnknownNameError, match="no identity '4711'"):
        summarise(found.store, found.results, {"ground": people}, {}, 3, ["4711"], lambda *_: None)


def test_the_explorer_shows_what_was_found(found, people):
    row = next(row for row in found.results.rows if row.method == "vlunlearn" and row.status == "valid")
    album = Album(cast(people, 6, [HOSTILE_PERSON], [row], found.results.references["ground"], found.results.columns))
    album.add("run", read_associations(row.folder, store_metrics(row.folder)))
    made = album.as_json({})
    table = pq.read_table(row.folder / "retrieved.parquet").to_pylist()
    ranks = {m: rows_of(row.folder, m, "rank") for m in ("RetFail", "IntraIdRet", "InterIdRet")}
    alone = rows_of(row.folder, "RetFail", "rank_private")
    texts = {a.file_name: a for person in people.by_id.values() for a in person.associations}
    named = [portrait.file_name for those in album.cast.portraits.values() for portrait in those]
    checked = 0
    for person in made["people"]:
        own = {a.caption for a in people.by_id[person["id"]].associations}
        assert {made["captions"][i] for i in person["own"]} <= own
        for portrait in person["portraits"]:
            file = named[portrait["number"]]
            told = made["models"]["run"][portrait["number"]]
            lines = sorted((line for line in table if line["file_name"] == file), key=lambda line: line["place"])
            assert [made["captions"][i] for i, _ in told["found"]] == [line["caption"] for line in lines]
            np.testing.assert_allclose([c for _, c in told["found"]], [line["cosine"] for line in lines], atol=5e-4)
            assert told["rank"] == next(those[file] for those in ranks.values() if file in those)
            assert told["alone"] == alone.get(file) and (told["alone"] is not None) == portrait["forget"]
            assert made["captions"][portrait["caption"]] == texts[file].caption
            assert portrait["forget"] == (texts[file].split == "forget")
            assert {i for i, _ in told["found"] if made["captions"][i] in own} <= set(person["own"])
            checked += len(lines)
    assert checked > 50


def report_of(found, people):
    missing = {world: "not here" for world in found.results.worlds if world not in people}
    summaries = summarise(found.store, found.results, people, missing, 12, [], lambda *_: None)
    tables = tuple(views(found.comparison, found.figures))
    return Report(found.store, tables, found.figures, summaries, "", "salmu report")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, ground):
    """Two worlds, of which only the first has data here; one method is in the second alone."""
    runs = tmp_path_factory.mktemp("worlds") / "runs"
    ground = write_store(runs, ground, KINDS[:3], worlds=2, failures=False)
    for folder in runs.glob("ground/direct-similarity"):
        shutil.rmtree(folder)
    return ground.read()


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


def test_attributes_over_several_worlds_are_means_over_those_that_have_them():
    def model(world, leak, fields=("iban", "name")):
        rng = np.random.default_rng(world)
        people = [f"p{i % 9}" for i in range(36)]
        rows = {f: Clusters.of(leak + 0.01 * rng.normal(size=36), people) for f in fields}
        return Attributes(rows, {})

    clean = {"a": model(1, 0.0), "b": model(2, 0.1)}
    compromised = {"a": model(3, 1.0), "b": model(4, 1.1)}
    runs = {"a": {0: model(5, 0.25), 1: model(6, 0.35)}, "b": {0: model(7, 0.7, fields=("iban",))}}
    made = cells(runs, clean, compromised, "leak")
    assert made["iban"].worlds == 2 and made["name"].worlds == 1
    of = {w: [r.leak["iban"].mean for r in seeds.values()] for w, seeds in runs.items()}
    low, high = ({w: m[w].leak["iban"].mean for w in "ab"} for m in (clean, compromised))
    shares = [np.mean([(x - low[w]) / (high[w] - low[w]) for x in of[w]]) for w in "ab"]
    assert made["iban"].share.value == pytest.approx(np.mean(shares))
    assert made["iban"].after == pytest.approx(np.mean([np.mean(of["a"]), np.mean(of["b"])]))
    a = [(r.leak["name"].mean - clean["a"].leak["name"].mean) for r in runs["a"].values()]
    gap = compromised["a"].leak["name"].mean - clean["a"].leak["name"].mean
    assert made["name"].share.value == pytest.approx(np.mean(a) / gap)


def test_galleries_are_those_of_the_split(found, people):
    summaries = summarise(found.store, found.results, {"ground": people}, {}, 7, [], lambda *_: None)
    shown = summaries.albums["ground"].as_json(summaries.galleries["ground"])["people"]
    assert len(shown) == 7
    details = json.loads((found.store.reference("ground", "clean") / "metrics.json").read_text())["metrics"]
    galleries = {True: {details["RetFail"]["gallery"]}}
    galleries[False] = {details[name]["gallery"] for name in ("IntraIdRet", "InterIdRet")}
    assert galleries[True] != galleries[False]
    for person in shown:
        for portrait in person["portraits"]:
            assert portrait["gallery"] in galleries[portrait["forget"]]
            if person["group"] == "held-out":
                assert portrait["gallery"] == details["InterIdRet"]["gallery"]


def test_people_of_several_worlds_are_as_many_in_all(worlds, people):
    summaries = summarise(
        worlds.store, worlds.results, dict.fromkeys(worlds.results.worlds, people), {}, 7, [], lambda *_: None
    )
    assert [len(album.cast.reasons) for album in summaries.albums.values()] == [4, 3]


def test_the_corner_ends_at_the_bars(found):
    lines, corner = series.lines(found.comparison), series.references(found.comparison)
    bar = series.leak_bar(found.comparison)
    start = found.comparison.references["compromised"]
    (asked,) = {line.diagnosis.evidence.bar for line in found.comparison.lines}
    for y, least in (("knowledge", 0.99 * start["GenKnow"].value.value), ("kept", 0.9)):
        passes = series.ends(lines, corner, y, bar)["passes"]
        assert passes["x2"] == pytest.approx((1 - asked) * start["RetFail_MRR"].value.value, rel=1e-3)
        assert passes["y"] == pytest.approx(least, rel=1e-3)


def test_the_leak_is_whatever_says_that_it_is_one(found, people):
    """Here a figure that is none: what is drawn, told and shown follows the declaration."""
    columns = [replace(c, role={"ACS": "leak", "RetFail_MRR": "other"}.get(c.name, c.role)) for c in found.figures]
    comparison = compare(found.results, columns)
    for line, row in zip(comparison.lines, series.lines(comparison), strict=True):
        assert row["leak"] == pytest.approx(line.figures["ACS"].value.value, rel=1e-4)
        assert line.diagnosis.evidence.leaks.keys() == {"ACS"}
    start = comparison.references["compromised"]["ACS"].value.value
    assert series.references(comparison)[0]["leak"] == pytest.approx(start, rel=1e-4)
    summaries = summarise(found.store, found.results, {"ground": people}, {}, 6, [], lambda *_: None)
    page = render(Report(found.store, tuple(views(comparison, columns)), columns, summaries, "", "salmu report"))
    assert "Scatter plot of the leak (ACS) against" in page and "ACS, log: left leaks less" in page
    assert "leak (RetFail_MRR)" not in page


def test_data_of_another_hash_are_refused(store, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(store.runs, runs)
    for path in runs.glob("ground/*/*/*/*.json"):
        content = json.loads(path.read_text().replace(store.read().data("ground").data_hash, "f" * 64))
        path.write_text(json.dumps({**content, "seal": seal_of(content)}))
    shutil.rmtree(runs / "ground/_references")
    with pytest.raises(BenchmarkError, match="of other data"):
        reading(runs, str(store.benchmark)).data("ground")


@pytest.mark.parametrize("file", [layout.IDENTITIES, layout.CAPTIONS_METADATA])
@pytest.mark.parametrize("entry", [None, [1], "text"])
def test_metadata_of_another_kind_are_a_sentence(ground, tmp_path, file, entry):
    folder = tmp_path / "benchmark"
    shutil.copytree(ground, folder)
    told = json.loads((folder / file).read_text())
    told[next(iter(told))] = entry
    (folder / file).write_text(json.dumps(told))
    with pytest.raises(BenchmarkError, match=r"is no object|not a table of facts"):
        read_people(open_benchmark(str(folder), discover(), lambda *_: None))


def test_hostile_pictures_are_no_pictures_and_cameras_may_lie_on_their_side(recwarn):
    def encoded(image, form="PNG", **more):
        out = io.BytesIO()
        image.save(out, form, **more)
        return out.getvalue()

    assert thumbnail(encoded(Image.new("1", (13000, 13000))), 16) is None and not recwarn.list
    turned = Image.new("RGB", (40, 20), "white")
    turned.paste("red", (0, 0, 20, 20))
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was turned: what is left belongs on top
    made = thumbnail(encoded(turned, "JPEG", exif=exif, quality=95), 40)
    seen = Image.open(io.BytesIO(base64.b64decode(made.partition(",")[2]))).convert("RGB")
    assert seen.size == (20, 40)
    assert seen.getpixel((10, 5))[1] < 90 and seen.getpixel((10, 35))[1] > 200
    assert thumbnail(encoded(Image.new("CMYK", (8, 8)), "JPEG"), 16) is not None


def test_a_page_holds_no_number_that_is_none(found, people):
    report = report_of(found, {"ground": people})
    report.summaries.albums["ground"].models["x"] = [{"cosine": float("nan"), "rank": None, "found": []}]
    with pytest.raises(ValueError, match=r"JSON compliant|nan"):
        render(report)


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


def test_a_path_that_is_no_text_is_a_path(store, tmp_path, monkeypatch, capsys):
    out = tmp_path / os.fsdecode(b"report-\xff.html")
    monkeypatch.setattr(sys, "argv", ["salmu", "report", "--out", str(out)])
    monkeypatch.setenv("COLUMNS", "40")  # narrower than the path, which must come in one piece
    report(store.runs, out, str(store.benchmark), [], 3, [])
    assert f"{tmp_path}/report-\\xff.html" in out.read_text(encoding="utf-8")  # a command that can be given again
    assert f"{tmp_path}/report-\\udcff.html: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("home", "told", "shown"),
    [
        ("/home/ada", "salmu run --benchmark /home/ada/x", "salmu run --benchmark ~/x"),
        ("/home/ada", "salmu report '/home/ada/my data'", "salmu report ~/'my data'"),
        ("/home/ada", "/home/adam/x", "/home/adam/x"),
        ("/", "/data/x", "/data/x"),
    ],
)
def test_whose_home_it_was_is_not_told(monkeypatch, home, told, shown):
    monkeypatch.setenv("HOME", home)
    assert text.FILTERS["home"](told) == shown
