import os
from pathlib import Path

import pytest

from salmu_core.contract.results import MetricResult, finite
from salmu_core.disk.files import new_folder, replacing, write_text
from salmu_core.errors import SchemaError, StoreError, UsageError
from salmu_core.store.folders import RunKey, Store, read_record, write_record
from salmu_core.store.records import Ledger, MetricsRecord

KEY = RunKey("mini", "cliperase", "0123456789abcdef", 5.0, 0)


def test_the_layout_on_disk():
    assert str(KEY.path) == "mini/cliperase/0123456789ab/b5-s0"
    assert RunKey("mini", "x", "0" * 64, 0.5, 12).path.name == "b0.5-s12"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    final = tmp_path / "a" / "b"
    with pytest.raises(RuntimeError), new_folder(final) as new:
        (new / "file").write_text("half")
        raise RuntimeError
    assert not final.exists() and not list((tmp_path / "a").iterdir())
    with new_folder(final) as new:
        (new / "file").write_text("whole")
        assert not final.exists()
    assert (final / "file").read_text() == "whole"
    with pytest.raises(RuntimeError), new_folder(final) as new:
        raise RuntimeError
    assert (final / "file").read_text() == "whole"
    with new_folder(final) as new:
        (new / "other").write_text("new")
    assert [p.name for p in final.iterdir()] == ["other"] and [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    final = tmp_path / "b"
    with new_folder(final) as new:
        (new / "file").write_text("old")
    replace, calls = Path.replace, []

    def second_fails(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", second_fails)
    with pytest.raises(OSError, match="disk"), new_folder(final) as new:
        (new / "file").write_text("new")
    assert (final / "file").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_what_is_no_file_is_not_replaced_and_rights_are_the_users(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is no file"), replacing(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 1
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "mine", "")
    finally:
        os.umask(before)
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o666 & ~before


def test_records_round_trip_and_damage_is_named(tmp_path):
    path = tmp_path / "ledger.json"
    assert read_record(path, Ledger) is None
    ledger = Ledger(steps=3, seconds=1.5)
    write_record(path, ledger)
    assert read_record(path, Ledger) == ledger
    path.write_text(path.read_text()[:-10])
    with pytest.raises(StoreError, match=r"ledger\.json is damaged"):
        read_record(path, Ledger)
    path.write_text('{"steps": 3, "colour": "red"}')
    with pytest.raises(StoreError, match="colour"):
        read_record(path, Ledger)


def test_records_of_another_schema_are_refused(tmp_path):
    record = MetricsRecord(
        benchmark="mini",
        data_hash="",
        checkpoint_hash="",
        metrics={},
        images_encoded=0,
        captions_encoded=0,
        seconds=0,
        schema_version=99,
    )
    write_record(tmp_path / "metrics.json", record)
    with pytest.raises(SchemaError, match="schema version 99"):
        read_record(tmp_path / "metrics.json", MetricsRecord)


def test_a_claim_excludes_others(tmp_path):
    store = Store(tmp_path)
    folder = store.folder(KEY)
    with store.claim(folder) as held:
        assert held
        with Store(tmp_path).claim(folder) as held_too:
            assert not held_too
    with store.claim(folder) as again:
        assert again


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_figure_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="the value is"):
        finite(value)
    assert MetricResult(1.0).per_row is None
