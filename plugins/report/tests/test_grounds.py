"""The results folders that reports are tried on: read as real ones are, and as varied as they claim."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from grounds import HOSTILE, HOSTILE_PERSON, KINDS, write_store
from salmu_report.associations import read_associations
from salmu_report.people import read_people

from salmu_core.errors import BenchmarkError
from salmu_core.judge.diagnosis import MODES
from salmu_core.store.folders import METRICS, read_record
from salmu_core.store.records import MetricsRecord


def test_every_run_is_read_as_what_it_is(store):
    found = store.read()
    assert Counter(row.status for row in found.results.rows) == {
        **{"valid": 10, "crashed": 1, "non-finite": 1, "not scored": 1}
    }
    assert not found.results.problems and not found.older and found.data("ground").folder == store.benchmark
    columns = {column.name for column in found.figures}
    assert all(set(row.metrics) == columns for row in found.results.rows if row.status == "valid")


def test_there_is_something_to_be_seen(store):
    lines = store.read().comparison.lines
    assert {line.needs for line in lines} == {"forget", "forget + retain", "weights only"}
    assert {where for line in lines for where in line.fronts.values()} >= {"on", "off"}
    for mode in MODES[:3]:  # nothing is attacked
        assert {line.diagnosis.verdicts[mode] for line in lines} >= {"holds", "clear"}, mode
    assert any(not line.diagnosis.modes("holds") for line in lines)
    curves = {line.method: len(line.rows[0].record.scalars.get("loss", ())) for line in lines if line.budget == 5}
    assert curves.pop("descent-to-delete") == 0 and set(curves.values()) == {200}


def test_a_hundred_runs_are_a_line_each_method_and_budget(large_store):
    found = large_store.read()
    assert sum(row.status == "valid" for row in found.results.rows) == 100
    assert sorted(len(line.rows) for line in found.comparison.lines) == [5] * 2 * len(KINDS)


def test_what_is_retrieved_agrees_with_the_ranks_and_the_cosines(store):
    found = store.read()
    people, places = read_people(found.data("ground")), Counter()
    for row in [row for row in found.results.rows if row.status == "valid"]:
        known = read_associations(row.folder, read_record(row.folder / METRICS, MetricsRecord))
        lists = known.retrieved([name for (found,) in known.searches.values() for name in found.ranks.file_names])
        for own in [own for person in people.by_id.values() for own in person.associations]:
            rank, listed = known.search(own.split).ranks.by_name[own.file_name], lists[own.file_name]
            cosines, captions = [each.cosine for each in listed], [each.caption for each in listed]
            assert len(set(captions)) == 5 and cosines == sorted(cosines, reverse=True)
            assert captions.index(own.caption) + 1 == rank if rank <= 5 else own.caption not in captions
            if rank <= 5:
                assert cosines[int(rank) - 1] == pytest.approx(known.cosines[own.split].by_name[own.file_name])
            places[min(rank, 6)] += 1
    assert set(places) == {1, 2, 3, 4, 5, 6}


def test_hostile_text_stands_wherever_text_may_stand(store):
    found = store.read()
    rows, people = found.results.rows, read_people(found.data("ground"))
    assert HOSTILE in found.notice
    assert HOSTILE in "".join(line.label for line in found.comparison.lines)
    assert HOSTILE in next(row.reason for row in rows if row.status == "crashed")
    person = people.find(HOSTILE_PERSON)
    assert HOSTILE in person.name and all(HOSTILE in own.caption for own in person.associations)
    folder = next(row.folder for row in rows if row.status == "valid")
    known = read_associations(folder, read_record(folder / METRICS, MetricsRecord))
    listed = known.retrieved([own.file_name for own in person.associations])
    assert any(HOSTILE in each.caption for found in listed.values() for each in found)


def test_worlds_differ_and_the_data_of_one_alone_are_here(tmp_path, ground):
    found = write_store(tmp_path / "runs", ground, KINDS[:2], configs=2, worlds=3, failures=False).read()
    assert found.results.worlds == ["ground", "ground@1", "ground@2"]
    leaks = {row.world: row.metrics["AssocStr"] for row in found.results.rows}
    assert len(found.results.rows) == 12 and np.unique(list(leaks.values())).size == 3
    assert len(found.comparison.lines) == 4 and all(line.worlds == 3 for line in found.comparison.lines)
    assert all("lr=" in line.label for line in found.comparison.lines)
    found.data("ground")
    with pytest.raises(BenchmarkError, match="ground@1 are of other data"):
        found.data("ground@1")
