import os
import subprocess
import sys

import pytest

from salmu_core.contract.results import MetricResult, finite
from salmu_core.disk.owners import aside, temporary_name
from salmu_core.errors import SchemaError, StoreError
from salmu_core.store.folders import RunKey, Store, read_record, write_record
from salmu_core.store.records import Ledger, MetricsRecord

KEY = RunKey("mini", "cliperase", "0123456789abcdef", 5.0, 0)


def test_the_layout_on_disk():
    assert str(KEY.path) == "mini/cliperase/0123456789ab/b5-s0"
    assert RunKey("mini", "x", "0" * 64, 0.5, 12).path.name == "b0.5-s12"


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


def test_a_run_that_was_moved_aside_by_a_process_that_is_gone_is_read_again(tmp_path):
    """Where folders can't change places in one step, and the writer was killed between two."""
    store = Store(tmp_path)
    final = store.folder(KEY)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = temporary_name(final)
    gone = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    for folder in (gone, aside(gone), aside(mine)):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(folder.name)
    assert [*store.runs("mini")] == [final] and (final / "run.json").read_text() == aside(gone).name
    assert [*store.runs("mini")] == [final] and aside(mine).exists()  # somebody is at it


def test_what_attempts_have_left_goes_once_the_run_has_its_record_and_none_has_begun_since(tmp_path):
    store = Store(tmp_path)
    folders = {name: tmp_path / "b" / "m" / "c" / name for name in ("made", "making", "again", "half", "held")}
    for name, folder in folders.items():
        (store.scratch(folder) / "saves").mkdir(parents=True)
        (store.scratch(folder) / "saves" / "one").touch()
        store.attempts(folder).write_text("{}")
        if name != "making":
            folder.mkdir()
            (folder / "run.json").write_text("{}")
        os.utime(store.attempts(folder), ns=(0, 0 if name in ("made", "held") else 1 << 62))
    store.attempts(folders["half"]).unlink()
    with store.claim(folders["held"]) as claimed:
        assert claimed
        store.tidy(redo=True)
    kept = {name for name, folder in folders.items() if store.scratch(folder).exists()}
    assert kept == {"making", "again", "held"}
    assert {name for name, folder in folders.items() if store.attempts(folder).exists()} == kept
    assert all((folder / "run.json").exists() for name, folder in folders.items() if name != "making")
    store.tidy(redo=False)
    assert {name for name, folder in folders.items() if store.scratch(folder).exists()} == {"making"}
