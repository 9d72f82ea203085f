"""What a page says, against a few lines of numpy over the very files."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from report.stores import HOSTILE_PERSON

from salmu_core import layout
from salmu_core.associations import read_associations
from salmu_core.errors import UnknownNameError
from salmu_core.outstanding import ROLES
from salmu_core.people import Group, read_people, thumbnail
from salmu_core.report import charts, series
from salmu_core.report.attributes import by_attribute, cells
from salmu_core.report.explorer import Album, cast
from salmu_core.report.gathering import gather
from salmu_core.report.histograms import count, panel
from salmu_core.results import Row


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
        name: by_attribute(read_associations(store, folder, store_metrics(folder)), people.fields)
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
    from salmu_core.records import MetricsRecord

    return MetricsRecord.model_validate_json((folder / "metrics.json").read_text())


def test_what_nobody_knew_has_no_share(found, people):
    folder = found.store.reference("ground", "clean")
    clean = by_attribute(read_associations(found.store, folder, store_metrics(folder)), people.fields)
    made = cells({"ground": {0: clean}}, {"ground": clean}, {"ground": clean}, "leak")
    assert made and all(cell.share is None for cell in made.values())


def test_everybody_shown_is_of_a_group_and_each_group_has_its_share(found, people):
    rows = [row for row in found.results.rows if row.status == "valid"]
    made = cast(people, 12, [], rows, found.results.references["ground"])
    groups = [people.by_id[identity].group for identity in made.shown]
    assert {group: groups.count(group) for group in Group} == dict.fromkeys(Group, 4)
    for identity in made.shown:
        person, shown = people.by_id[identity], made.portraits[identity]
        assert len({p.file_name for p in shown}) == len(shown) == min(4, len(person.associations))
        if person.group is Group.HALF:
            assert {p.split for p in shown} == {"forget", "holdout_association"}


def test_the_worst_are_shown(found, people):
    rows = [row for row in found.results.rows if row.method == "negative-gradient" and row.status == "valid"][:1]
    made = cast(people, 6, [], rows, found.results.references["ground"])
    ranks = rows_of(rows[0].folder, "RetFail", "rank")
    leak = {
        identity: np.mean([1 / ranks[a.file_name] for a in person.associations])
        for identity, person in people.by_id.items()
        if person.group is Group.FORGOTTEN
    }
    assert made.shown[max(leak, key=lambda identity: leak[identity])] == "leaks most"


def test_whoever_is_asked_for_is_there(found, people):
    made = cast(people, 0, ["0", "00000001"], [], found.results.references["ground"])
    assert list(made.shown) == ["00000000", "00000001"]


def test_somebody_unknown_is_an_error(found, people):
    with pytest.raises(UnknownNameError, match="no identity '4711'"):
        gather(found.store, found.results, {"ground": people}, {}, 3, ["4711"], lambda *_: None)


def test_the_explorer_shows_what_was_found(found, people):
    row = next(row for row in found.results.rows if row.method == "vlunlearn" and row.status == "valid")
    album = Album(cast(people, 6, [HOSTILE_PERSON], [row], found.results.references["ground"]))
    album.add("run", read_associations(found.store, row.folder, store_metrics(row.folder)))
    made = album.as_json({})
    table = pq.read_table(row.folder / "retrieved.parquet").to_pylist()
    ranks = {m: rows_of(row.folder, m, "rank") for m in ("RetFail", "IntraIdRet", "InterIdRet")}
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
            assert made["captions"][portrait["caption"]] == texts[file].caption
            assert portrait["forget"] == (texts[file].split == "forget")
            assert {i for i, _ in told["found"] if made["captions"][i] in own} <= set(person["own"])
            checked += len(lines)
    assert checked > 50


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
