"""What a run's rows come to is kept: found is as good as made, another content is another entry."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from stores import around, leak, rewrite, write_reference, write_run

from salmu_core.disk.cache import recall
from salmu_core.judge.compare import compare
from salmu_core.judge.packed import pack, unpack
from salmu_core.judge.results import read_results
from salmu_core.judge.single import read_scored
from salmu_core.judge.statistics import Clusters
from salmu_core.store.folders import METRICS, Store
from salmu_core.store.schema import ROWS

COSINES = around(0.2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run beside reference models, with a cache of its own."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    for role, rank in (("clean", 60), ("compromised", 1)):
        write_reference(tmp_path / "runs", role, {"AssocStr": around(0.1), **leak(np.arange(80) % 20 + rank)})
    return write_run(tmp_path / "runs", "one", {"AssocStr": COSINES, **leak(np.arange(1, 81))}, alone={"GenKnow": 0.5})


@pytest.fixture
def opened(monkeypatch):
    """Tables of rows that were read."""
    made, opened = pq.ParquetFile, []
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **how: opened.append(path) or made(path, **how))
    return opened


def listed(run):
    """What ``salmu results --json`` prints."""
    results = read_results(Store(run.parents[3]), ["mini"])
    return json.dumps(compare(results, results.columns).as_json())


def entries(run):
    return sorted((run.parents[4] / "cache" / "figures").iterdir())


def test_a_listing_reads_rows_once_and_says_the_same_to_the_last_digit(run, opened, monkeypatch):
    made = listed(run)
    assert len(opened) == len(entries(run)) == 3
    assert listed(run) == made and len(opened) == 3
    with monkeypatch.context() as without:
        without.setattr("salmu_core.judge.figures.recall", lambda *_: None)
        without.setattr("salmu_core.judge.figures.pack", lambda *told: told)
        without.setattr("salmu_core.judge.figures.remember", lambda *_, **__: None)
        without.setattr("salmu_core.judge.figures.unpack", lambda told: told)
        assert listed(run) == made and len(opened) == 6
    people = COSINES.reshape(20, 4).sum(axis=1)
    assert read_scored(run).figures["AssocStr"].sums == pytest.approx(people, abs=1e-15) and len(opened) == 6


def test_another_content_is_another_entry_wherever_it_lies(run, opened):
    made = listed(run)
    table = pq.read_table(run / ROWS)
    values = table["value"].to_numpy().copy()
    values[(table["column"].to_numpy() == "AssocStr").nonzero()[0][:4]] += 0.25  # the first person's
    pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", [values]), run / ROWS)
    assert "is damaged" in listed(run)
    record = json.loads((run / METRICS).read_text())
    record["metrics"]["AssocStr"]["values"]["AssocStr"] += 0.25 * 4 / len(COSINES)
    del record["files"]
    rewrite(run / METRICS, **record)
    del opened[:]
    assert listed(run) != made and opened == [run / ROWS]
    assert read_scored(run).figures["AssocStr"].sums[0] == pytest.approx(COSINES[:4].sum() + 1)
    shutil.copytree(run.parents[3], run.parents[4] / "elsewhere")
    read_scored(run.parents[4] / "elsewhere" / run.relative_to(run.parents[3]))
    assert opened == [run / ROWS]


def test_other_declarations_are_another_entry(run, opened):
    listed(run)
    record = json.loads((run / METRICS).read_text())
    record["metrics"]["RetFail"]["declared"]["role"] = "other"
    rewrite(run / METRICS, **record)
    assert "worst_1%" not in read_scored(run).tails and len(entries(run)) == 4


@pytest.mark.parametrize("damage", [lambda b: b[:-8], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda _: b""])
def test_a_damaged_entry_is_made_again(run, opened, damage):
    made, whole = listed(run), [entry.read_bytes() for entry in entries(run)]
    for entry in entries(run):
        entry.write_bytes(damage(entry.read_bytes()))
    assert listed(run) == made and len(opened) == 6
    assert [entry.read_bytes() for entry in entries(run)] == whole


def test_a_cache_that_cannot_be_written_changes_nothing(run, opened):
    made = listed(run)
    shutil.rmtree(run.parents[4] / "cache")
    (run.parents[4] / "cache").write_text("a file")
    assert listed(run) == made and len(opened) == 6 and recall("figures", "any") is None


def test_packed_figures_come_back_bit_by_bit():
    names = ("person a\n", "person ü", "row \udcff")
    sums = np.array([-0.0, np.nextafter(0.1, 1), np.inf])
    figures = {
        "one": Clusters(names, sums, np.array([1.0, 2.0, 3.0])),
        "others": Clusters(names, sums[::-1], np.array([3.0, 2.0, 1.0])),
        "alone": Clusters.alone(float("nan")),
        "two": Clusters(names, 2 * sums, np.array([1.0, 2.0, 3.0])),
    }
    told, tails = unpack(pack(figures, {"worst_1%": 1 / 3, "people@1": 0.0}))
    assert [*told] == [*figures] and tails == {"worst_1%": 1 / 3, "people@1": 0.0}
    for name, rows in figures.items():
        assert told[name].names == rows.names
        assert told[name].sums.tobytes() == rows.sums.tobytes() and told[name].counts.tobytes() == rows.counts.tobytes()
    assert told["one"].same_rows(told["two"]) and not told["one"].same_rows(told["others"])
    assert unpack(pack({"alone": figures["alone"]}, {}))[1] == {}
