"""What a page says, against a few lines of numpy over the very files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from contents import report_of, rows_of
from grounds import HOSTILE_PERSON
from salmu_report import series
from salmu_report.album import Album
from salmu_report.associations import read_associations
from salmu_report.attributes import Attributes, by_attribute, cells
from salmu_report.cast import cast
from salmu_report.cli import report
from salmu_report.filters import FILTERS
from salmu_report.people import Group, read_people
from salmu_report.render import render
from salmu_report.report import Report, views
from salmu_report.summaries import summarise

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.cli.reading import reading
from salmu_core.contract import layout
from salmu_core.contract.layout import ROLES
from salmu_core.disk.record import seal_of
from salmu_core.errors import BenchmarkError, UnknownNameError
from salmu_core.judge.compare import compare
from salmu_core.judge.statistics import Clusters
from salmu_core.plugins.zoo import discover


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


def test_a_page_holds_no_number_that_is_none(found, people):
    report = report_of(found, {"ground": people})
    report.summaries.albums["ground"].models["x"] = [{"cosine": float("nan"), "rank": None, "found": []}]
    with pytest.raises(ValueError, match=r"JSON compliant|nan"):
        render(report)


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
    assert FILTERS["home"](told) == shown
